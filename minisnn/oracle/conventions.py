"""What other libraries define otherwise, and how a port of their semantics is judged.

minisnn: strict threshold (``V > theta``), input unscaled, arrays (batch, time, neuron), weight (n_in, n_out); the
conventional layer subtracts the threshold in the step of the spike and reports the potential after that.

==================================  =======  =======================  ================  ==========================
library (version looked at)         V=theta  reset                    input             judged by
==================================  =======  =======================  ================  ==========================
snnTorch 1.0 ``Leaky``              silent   theta, a step late;      unscaled          fails by rule ``reset``
                                             U reported
``Leaky(reset_delay=False)``        silent   theta, same step         unscaled          default rules
SpikingJelly 2.0 ``LIFNode``        fires    to 0, same step          times 1/tau       fails by rule ``reset``
``LIFNode(v_reset=None)``           fires    theta, same step         times 1/tau       tie-fires, scaled-input
``LIFNode(v_reset=None,             fires    theta, same step         unscaled          tie-fires
decay_input=False)``
==================================  =======  =======================  ================  ==========================

For SpikingJelly ``beta = 1 - 1/tau``, so "times 1/tau" is "scaled by 1 - beta". Both libraries run over
time-first arrays (time, batch, neuron) and take their input from ``torch.nn.Linear``, whose weight is
(n_out, n_in): transpose on the way in and out. A port that forgets is told so by the rules ``axis-order`` and
``weight-orientation``.

Every row is held by ``tests/conformance/test_conventions.py``: the library's update rule, written out, is judged
as the table says, and compared with the library itself where that is installed.
"""

from __future__ import annotations

from .judge import CONVENTIONS

__all__ = ["CONVENTIONS"]
