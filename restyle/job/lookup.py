"""Whether a job has been done already: only reads. What follows from a yes is in restyle/job/results/reuse.py."""

from __future__ import annotations

from restyle.errors import InputNotFound, ObjectRefused, RestyleError, StoreAccessDenied
from restyle.fingerprint import Fingerprint
from restyle.job import recorded
from restyle.job.context import Tools, Work
from restyle.job.outputs.ownership import Owner
from restyle.job.results.seeds import as_planned
from restyle.keys import Workspace
from restyle.models import Message
from restyle.record import Record
from restyle.s3.store import Store


def find_record(message: Message, store: Store, workspace: Workspace) -> Record | None:
    """The job's record, whichever run wrote it; one that cannot be read counts as none.

    Raises:
        NewerFormat: a later version wrote it.
    """
    return recorded.find_at(workspace.record(message.job.id, message.job.variant), store)


def unchanged(work: Work, known: Record | None, tools: Tools) -> Record | None:
    """The record that answers the job, as the input's ETag tells without reading it; None: there is none.

    Raises:
        InputNotFound: the input may not be read.
    """
    if known is None or not counts(work, known, tools):
        return None
    if known.run_id == work.message.run_id:
        return known
    if (listed := work.message.job.etag) and listed != known.fingerprint.etag:
        return None  # as its bytes will tell, which are fetched now anyway
    uri = work.message.job.image
    try:
        head = tools.store.head(uri)
    except (ObjectRefused, StoreAccessDenied) as error:
        raise refused_input(uri, error, work, tools) from error
    # Where it seems to be gone, fetching it says so by more than a status, which any gateway may answer with.
    # A server without ETags says nothing of what lies there: its bytes tell.
    return known if head and head.etag and head.etag == known.fingerprint.etag else None


def refused_input(uri: str, refusal: RestyleError, work: Work, tools: Tools) -> InputNotFound:
    """The error of an input that S3 refuses: its job's alone, where the workspace can be read all the same.

    Raises:
        ObjectRefused, StoreAccessDenied, StoreUnavailable: S3 refuses the workspace too, and so every job.
    """
    tools.store.head(tools.workspace.run(work.message.run_id))
    # Without leave to list, S3 says so of an object that is missing, too.
    return InputNotFound(f"{uri}: missing, or reading it is not allowed ({refusal.message})")


def same_bytes(work: Work, known: Record | None, fingerprint: Fingerprint, tools: Tools) -> Record | None:
    """The record that answers the job, as the input's bytes tell although its ETag has changed; None: there is none."""
    if known is None or not counts(work, known, tools) or known.fingerprint.sha256 != fingerprint.sha256:
        return None
    return known


def counts(work: Work, known: Record | None, tools: Tools) -> bool:
    """Whether a record speaks for this job's request: under --overwrite only one of this very run does."""
    if known is None or not (known.fingerprint.request == work.request or _made_anew(work, known)):
        return False
    if work.options.overwrite and known.run_id != work.message.run_id:
        return False
    return not work.options.verify_outputs or _are_there(work, known, tools)


def _are_there(work: Work, known: Record, tools: Tools) -> bool:
    """Whether the outputs of a record lie where it says, and are still this job's."""
    owner = Owner(work.message.job_id, work.message.job, known, tools.workspace, tools.store)
    heads = ((output.uri, owner.head(output.uri)) for output in known.outputs)
    return all(head is not None and owner.owns(uri, head) for uri, head in heads)


def _made_anew(work: Work, known: Record) -> bool:
    """Whether a record differs from what is planned in nothing but a seed that was drawn in place of this job's."""
    params = work.message.job.params
    planned = as_planned(known.params, work.message.job_id, known.run_id)
    return planned == params and work.request_of(known.params) == known.fingerprint.request
