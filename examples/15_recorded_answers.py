"""Judge recorded answers: a simulation in fixed point, as a chip would compute, answers cases from a file.

Run it: ``python examples/15_recorded_answers.py``. Cases are written to a folder, the simulation reads them there and
records its answers, and the oracle judges the recording. It prints the report of 16 fractional bits, and a table of
how far each width is off. A potential of fixed width is not right to float32, and the report says by how much. The
same from the command line::

    minisnn vectors DIR --cases --dtype float32 --text
    ...
    minisnn check --answers DIR
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from minisnn.oracle import check_answers, write_cases


def simulate(case, bits):
    """Spike times and potentials, by whole numbers of 2^-bits; products are cut off."""
    weight, bias, decay, theta = (
        np.round(np.ldexp(case[name], bits)).astype(np.int64)
        for name in ("weight", "bias", "decay", "threshold")
    )
    current = np.array(case["spikes"], dtype=np.int64) @ weight + bias
    v = np.zeros_like(current[:, 0])
    for t in range(current.shape[1]):
        current[:, t] = v = (decay * v >> bits) + current[:, t]
    above = current > theta
    times = np.where(above.any(axis=1), above.argmax(axis=1), above.shape[1])
    return {"spikes": times.tolist(), "membrane": np.ldexp(current.astype(float), -bits).tolist()}


def record(folder, bits):
    """Answer every line of the cases by a line."""
    with open(folder / "cases.jsonl") as cases, open(folder / "answers.jsonl", "w") as answers:
        for line in cases:
            case = json.loads(line)
            answers.write(json.dumps({"number": case["number"]} | simulate(case, bits)) + "\n")


def main(*widths):
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cases(folder, dtype="float32", examples=20, text=True)
        for bits in widths:
            record(folder, bits)
            report = check_answers(folder)
            rows.append((bits, report.ratios["float32 membrane"]))
            if bits == 16:
                print(report)
    print("\nfractional bits   largest error / bound of the membrane")
    for bits, ratio in rows:
        print(f"{bits:15}   {ratio:.2g}")


if __name__ == "__main__":
    main(8, 16, 24)
