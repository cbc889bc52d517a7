"""The reasons of conditions: one word each, which tools may go by, with what it means."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a condition is as it is."""

    # Accepted
    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    NO_STORE = "NoStore"
    STORE_UNREACHABLE = "StoreUnreachable"
    MISSING_SECRET = "MissingSecret"
    MISSING_SECRET_KEY = "MissingSecretKey"
    MISSING_VOLUME_CLAIM = "MissingVolumeClaim"
    NAME_TOO_LONG = "NameTooLong"
    NAME_TAKEN = "NameTaken"
    TOO_MANY_CLIENTS = "TooManyClients"
    # A stage
    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    QUEUED = "Queued"
    SUSPENDED = "Suspended"
    ISSUING_CERTIFICATES = "IssuingCertificates"
    CLIENTS_FAILED = "ClientsFailed"
    REFUSED = "Refused"
    IMAGE_PULL = "ImagePull"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    MOUNT_FAILED = "MountFailed"
    BAD_CONTAINER = "BadContainer"
    OUT_OF_MEMORY = "OutOfMemory"
    INIT_FAILED = "InitFailed"
    STAGE_ERROR = "StageError"
    CRASHED = "Crashed"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    TRIES_EXHAUSTED = "TriesExhausted"
    # Published
    LOADING = "Loading"
    NOT_READY = "NotReady"
    PROBING = "Probing"
    PROBE_FAILED = "ProbeFailed"
    PUBLISHED = "Published"
    SUPERSEDED = "Superseded"
    PINNED = "Pinned"
    NO_KSERVE = "NoKServe"
    # Complete, Failed, Suspended
    SUCCEEDED = "Succeeded"
    IN_PROGRESS = "InProgress"
    STAGE_FAILED = "StageFailed"
    NO_FAILURE = "NoFailure"
    NOT_SUSPENDED = "NotSuspended"
    NOT_ACCEPTED = "NotAccepted"


MEANING = {
    Reason.ACCEPTED: "The spec is right, and what it names is there.",
    Reason.INVALID_SPEC: "A field is wrong; the message is what `gptfl validate` says.",
    Reason.NO_STORE: "Neither the run nor the operator names a store that all pods can reach.",
    Reason.STORE_UNREACHABLE: "The store does not answer. Pods go on; nothing new is begun.",
    Reason.MISSING_SECRET: "A Secret that the run names is not in its namespace.",
    Reason.MISSING_SECRET_KEY: "A Secret that the run names lacks an entry.",
    Reason.MISSING_VOLUME_CLAIM: "A volume claim that the run names is not in its namespace.",
    Reason.NAME_TOO_LONG: "A name would be too long for KServe.",
    Reason.NAME_TAKEN: "A Service of the model's name is there, and is not the operator's.",
    Reason.TOO_MANY_CLIENTS: "More made-up clients than the operator starts pods for.",
    Reason.PENDING: "It waits for a stage before it.",
    Reason.RUNNING: "It is at work.",
    Reason.DONE: "What it makes is in the store.",
    Reason.QUEUED: "Kueue has not let its Job in yet.",
    Reason.SUSPENDED: "`spec.suspend` is true.",
    Reason.ISSUING_CERTIFICATES: "The keys of aggregator and clients are being made.",
    Reason.CLIENTS_FAILED: "Pods of clients have failed for good; the others go on.",
    Reason.REFUSED: "The API server does not take an object of the stage; it is tried again.",
    Reason.IMAGE_PULL: "A node cannot get the image.",
    Reason.UNSCHEDULABLE: "No node has room for the pod, or may take it.",
    Reason.QUOTA_EXCEEDED: "The namespace's quota has no room for the pod.",
    Reason.POD_REFUSED: "The cluster does not admit the pod.",
    Reason.MOUNT_FAILED: "A volume of the pod cannot be mounted.",
    Reason.BAD_CONTAINER: "The container cannot be made as it is described.",
    Reason.OUT_OF_MEMORY: "The container was killed for using more memory than its limit.",
    Reason.INIT_FAILED: "An init container fails.",
    Reason.STAGE_ERROR: "The stage says itself what is wrong.",
    Reason.CRASHED: "The container ends with an error and has not said which.",
    Reason.EVICTED: "The pod had to leave its node; it is tried again.",
    Reason.NODE_LOST: "The pod's node is gone, or needed for something else; it is tried again.",
    Reason.DEADLINE_EXCEEDED: "It took longer than `spec.activeDeadlineSeconds`.",
    Reason.TRIES_EXHAUSTED: "It failed more often than `spec.backoffLimit` allows.",
    Reason.LOADING: "The revision is being loaded; users see nothing of it.",
    Reason.NOT_READY: "The revision is not ready, for a reason that KServe gives.",
    Reason.PROBING: "The revision is ready; it is asked for an answer before users are let at it.",
    Reason.PROBE_FAILED: "The revision did not answer as a model should.",
    Reason.PUBLISHED: "The model answers at the endpoint.",
    Reason.SUPERSEDED: "A newer model of another run answers under the same name.",
    Reason.PINNED: "The endpoint is held at another revision, by `gptfl rollback` or by hand.",
    Reason.NO_KSERVE: "The cluster has no KServe: the model stays in the store.",
    Reason.SUCCEEDED: "All is done.",
    Reason.IN_PROGRESS: "Not all is done.",
    Reason.STAGE_FAILED: "A stage has failed for good; its condition says why.",
    Reason.NO_FAILURE: "Nothing has failed for good.",
    Reason.NOT_SUSPENDED: "`spec.suspend` is false.",
    Reason.NOT_ACCEPTED: "The run is not accepted, so nothing is known of it.",
}
"""For the page of reasons in the documentation."""
