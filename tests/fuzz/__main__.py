"""`python -m tests.fuzz --count 10000 [--seed 1] [READER ...]`: fuzz readers and print what escaped."""

import argparse
import sys
import time

from tests.fuzz import data_readers, endpoint_readers, harness, model_readers, result_readers

GROUPS = {"data": data_readers, "models": model_readers, "results": result_readers, "endpoints": endpoint_readers}
READERS = {reader.name: reader for group in GROUPS.values() for reader in group.READERS}


def main() -> int:
    """Fuzz the chosen readers; return 1 if something escaped."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"some of {', '.join(READERS)} (default: all)")
    parser.add_argument("--count", type=int, default=1000, help="damaged inputs for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = [name for name in options.readers if name not in READERS]
    if unknown:
        parser.error(f"{unknown[0]}: expected some of {', '.join(READERS)}")
    faults = 0
    for name in options.readers or READERS:
        start = time.perf_counter()
        report = harness.fuzz(READERS[name], options.count, options.seed)
        seconds = time.perf_counter() - start
        counts = f"{report.inputs:,} inputs, {report.accepted:,} accepted, {report.refused:,} refused"
        print(f"{name:<22} {counts}, {len(report.faults):,} faults, {seconds:.0f} s", flush=True)
        for fault in report.faults[:20]:
            print(f"  {fault}", flush=True)
        faults += len(report.faults)
    print(f"{faults:,} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
