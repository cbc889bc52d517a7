"""Peak memory of a federation with few and with many clients: it must not grow with them."""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

KIB = 1024


def measure(clients: int, per_round: int, rounds: int) -> float:
    """Peak resident memory in MiB above what the imports take, in this process."""
    import torch

    from gptfl.federation.stage import run
    from gptfl.spec.sections import FederationSection
    from gptfl.store import Workspace
    from gptfl.store.blobs import FolderBlobs

    labels = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    section = FederationSection.model_validate(
        {
            "seed": 0,
            "computeThreads": 1,
            "task": {"labels": labels, "image": {"channels": 1, "height": 16, "width": 16}},
            "model": {},
            "start": "Random",
            "pooling": "Federated",
            "test": {"uri": "sklearn://digits", "split": "train[80%:]"},
            "federation": {
                "rounds": rounds,
                "clientsPerRound": per_round,
                "simulation": {
                    "dataset": {"uri": "sklearn://digits", "split": "train[:80%]"},
                    "clients": clients,
                    "partitioner": {"kind": "Iid"},
                },
            },
        }
    )
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        run(section, {}, Workspace(FolderBlobs(path), "federation", "key", seed=0, folder=path))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB - before


def main() -> int:
    """Measures each number of clients in a process of its own and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, help="all clients when left out")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        clients = options.clients[0]
        print(f"{measure(clients, options.per_round or clients, options.rounds):.1f}")
        return 0
    print(f"{'clients':>8}{'a round':>10}{'peak MiB above imports':>26}{'ratio':>8}")
    first = None
    for clients in options.clients:
        per_round = min(options.per_round or clients, clients)
        command = [sys.executable, __file__, "--one", "--clients", str(clients)]
        command += ["--per-round", str(per_round), "--rounds", str(options.rounds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = float(done.stdout.split()[-1])
        first = first or peak
        print(f"{clients:8}{per_round:10}{peak:26.1f}{peak / first:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
