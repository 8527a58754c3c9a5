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

from minisnn.oracle import check_answers, write_cases


def simulate(case, bits):
    """Spike times and potentials, by whole numbers of 2^-bits; products are cut off."""

    def fixed(values):
        return [round(value * 2**bits) for value in values]

    weight, theta = [fixed(row) for row in case["weight"]], round(case["threshold"] * 2**bits)
    bias, decay = fixed(case["bias"]), fixed(case["decay"])
    times, membrane = [], []
    for sample in case["spikes"]:
        v, fired, rows = [0] * len(bias), [len(sample)] * len(bias), []
        for t, inputs in enumerate(sample):
            for n in range(len(bias)):
                current = bias[n] + sum(row[n] * int(x) for x, row in zip(inputs, weight))
                v[n] = (decay[n] * v[n] >> bits) + current
                if v[n] > theta and fired[n] == len(sample):
                    fired[n] = t
            rows.append([value / 2**bits for value in v])
        times.append(fired)
        membrane.append(rows)
    return {"spikes": times, "membrane": membrane}


def record(folder, bits):
    """Answer every line of the cases by a line."""
    with open(folder / "cases.jsonl") as cases, open(folder / "answers.jsonl", "w") as answers:
        for line in cases:
            case = json.loads(line)
            answers.write(json.dumps({"number": case["number"]} | simulate(case, bits)) + "\n")


def main():
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cases(folder, dtype="float32", examples=20, text=True)
        for bits in (8, 16, 24, 32):
            record(folder, bits)
            report = check_answers(folder)
            rows.append((bits, report.ratios["float32 membrane"]))
            if bits == 16:
                print(report)
    print("\nfractional bits   largest error / bound of the membrane")
    for bits, ratio in rows:
        print(f"{bits:15}   {ratio:.2g}")


if __name__ == "__main__":
    main()
