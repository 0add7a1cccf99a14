from runnotary.app.clients import AsyncClient as AsyncClient
from runnotary.app.clients import Client as Client
from runnotary.client.results import Approval as Approval
from runnotary.client.results import ApprovalPage as ApprovalPage
from runnotary.client.results import BatchError as BatchError
from runnotary.client.results import BatchResponse as BatchResponse
from runnotary.client.results import BatchResult as BatchResult
from runnotary.client.results import Flow as Flow
from runnotary.client.results import LogEntry as LogEntry
from runnotary.client.results import LogPage as LogPage
from runnotary.client.results import Run as Run
from runnotary.client.results import RunError as RunError
from runnotary.client.results import RunEvent as RunEvent
from runnotary.client.results import RunFile as RunFile
from runnotary.client.results import RunPage as RunPage
from runnotary.client.results import Task as Task
from runnotary.client.words import RunRequest as RunRequest
from runnotary.core.errors import *  # noqa: F403 -- every error of the product

__version__: str
