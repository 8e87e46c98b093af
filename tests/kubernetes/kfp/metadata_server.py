"""ML Metadata's gRPC service over its own library, whose calls take and return the service's messages.

Runs in an environment of its own (python.py): nothing of this project can be imported here.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as library
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

_SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE = 100 << 20
"""Bytes, as of the real service's clients."""


def main(port: int, database: str) -> None:
    """Serves until it is stopped."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = database
    store = library.CreateMetadataStore(config.SerializeToString(), b"")
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    # A store is for one thread at a time.
    lock = threading.Lock()
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(_handler(getattr(library, method.name), store, lock))
        for method in _SERVICE.methods
        if hasattr(library, method.name)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def _handler(call, store, lock):
    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        with lock:
            answer, message, code = call(store, request)
        if code:
            context.abort(_CODES[code], message.decode())
        return answer

    return handle


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
