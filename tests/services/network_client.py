"""An honest client as a process of its own: adds its node id to the model.

network_client.py ADDRESS NAME FOLDER|- CALLS SECONDS
"""

import sys
import time
from pathlib import Path

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from gptfl.federation.arrays import decode, encode
from gptfl.federation.network import ClientIdentity, client_identity, serve_tasks

address, name, folder, calls, seconds = sys.argv[1:]


def make_app(terms: bytes, node: int) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        with Path(calls).open("a") as file:
            file.write(f"{message.metadata.message_id}\n")
        time.sleep(float(seconds))
        if "fail" in message.metadata.message_id:
            raise ValueError("no such data")
        weights = decode(message.content["arrays"])  # type: ignore[arg-type]
        made = {key: values + np.float32(context.node_id) for key, values in weights.items()}
        return Message(RecordDict({"arrays": encode(made)}), reply_to=message)

    return app


identity = ClientIdentity(name) if folder == "-" else client_identity(Path(folder), name)
serve_tasks(address, identity, make_app, longest_wait=0.5)
assert "torch" not in sys.modules
