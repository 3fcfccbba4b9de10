"""A client for respgate's management API, over the standard library only.

    api = respgate.Client("http://127.0.0.1:3000", token)
    for organization in api.list_organizations():
        print(organization.name)
"""

from . import models
from ._http import ProblemError
from .client import Client

__all__ = ["Client", "ProblemError", "models"]
