"""An aggregator as a process of its own: asks all its clients, round after round; can be killed.

network_server.py ADDRESS FOLDER NAMES ROUNDS NUMBERS OUT

Writes the digest of each round's replies, in client order, to OUT, a line a round; begins after
the last line that is there.
"""

import hashlib
import sys
from pathlib import Path

from network_lab import task

from gptfl.federation.network import open_stream_grid, server_security

address, folder, names, rounds, numbers, out = sys.argv[1:]
security = None if folder == "-" else server_security(Path(folder))
done = Path(out).read_text().splitlines() if Path(out).exists() else []
everyone = names.split(",")
with open_stream_grid(address, everyone, security) as grid:
    for number in range(len(done), int(rounds)):
        nodes = range(1, len(everyone) + 1)
        messages = [task(node, f"r{number}", int(numbers)) for node in nodes]
        digest = hashlib.sha256()
        for reply in grid.send_and_receive(messages):
            digest.update(reply.content["arrays"]["w"].data)  # type: ignore[index]
        with Path(out).open("a") as file:
            file.write(f"{digest.hexdigest()}\n")
    grid.dismiss()
