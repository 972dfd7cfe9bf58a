"""A client that asks for a study, for two watches and for a log, says so, and does nothing more until it is killed."""

import sys
import time
from typing import Any

import grpc

from searchd.v1.study_service_pb2 import CreateStudyRequest, WatchStudyRequest
from searchd.v1.study_service_pb2_grpc import StudyServiceStub
from searchd.v1.trial_service_pb2 import StreamLogsRequest
from searchd.v1.trial_service_pb2_grpc import TrialServiceStub


def main(address: str, name: str, request: str) -> None:
    """Call the server at an address: watch a study, follow its first trial, and send a creation given as hex digits."""
    channel = grpc.insecure_channel(address)
    studies, trials = StudyServiceStub(channel), TrialServiceStub(channel)
    watches: list[Any] = [studies.WatchStudy(WatchStudyRequest(name=name)) for _ in range(2)]
    logs: Any = trials.StreamLogs(StreamLogsRequest(name=f"{name}/trials/1", follow=True))
    for stream in (*watches, logs):
        next(stream)
    creation = studies.CreateStudy.future(CreateStudyRequest.FromString(bytes.fromhex(request)))
    print("ready", flush=True)  # noqa: T201  # whoever started it waits for that
    time.sleep(60)
    creation.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
