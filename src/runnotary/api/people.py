"""Routes about who may do what: oneself, namespaces, roles, groups, tokens."""

from __future__ import annotations

from runnotary.api.call import Call, Document
from runnotary.api.parameters import moment


def whoami(call: Call) -> Document:
    return Document(call.operations.access.whoami(call.who))


def namespaces(call: Call) -> Document:
    return Document({"namespaces": call.operations.access.namespaces(call.who)})


async def create_namespace(call: Call) -> Document:
    body = call.body
    made = await call.operations.access.create_namespace(call.who, body.name, body.title, body.reason)
    return Document(made, 201)


def namespace(call: Call) -> Document:
    return Document(call.operations.access.namespace(call.who, call.path["namespace"]))


def history(call: Call) -> Document:
    return Document({"changes": call.operations.access.history(call.who, call.path["namespace"])})


async def grant(call: Call) -> Document:
    namespace, principal = call.path["namespace"], call.path["principal"]
    access, body = call.operations.access, call.body
    return Document(await access.grant(call.who, namespace, principal, body.role, body.reason))


async def revoke(call: Call) -> Document:
    namespace, principal = call.path["namespace"], call.path["principal"]
    access, asked = call.operations.access, call.query
    return Document(await access.revoke(call.who, namespace, principal, asked.role or None, asked.reason))


def groups(call: Call) -> Document:
    return Document({"groups": call.operations.access.groups(call.who)})


async def set_group(call: Call) -> Document:
    body = call.body
    access = call.operations.access
    return Document(await access.set_group(call.who, call.path["group"], body.members, body.reason))


def tokens(call: Call) -> Document:
    return Document({"tokens": call.operations.access.tokens(call.who)})


async def create_token(call: Call) -> Document:
    body = call.body
    document, secret = await call.operations.access.create_token(
        call.who,
        body.principal or call.who.by.principal,
        name=body.name or "unnamed",
        scopes=body.scopes,
        expires_at=moment("expires_at", body.expires_at),
        reason=body.reason,
    )
    return Document({**document, "secret": secret}, 201)


async def revoke_token(call: Call) -> Document:
    return Document(
        await call.operations.access.revoke_token(call.who, call.path["token"], call.query.reason)
    )
