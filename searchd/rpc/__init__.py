"""The front door: gRPC services over the use cases."""
