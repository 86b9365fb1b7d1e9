"""Makes a replica set of running members, with a user if the address names one, and waits until it is whole:
MONGODB_URI=... replica_set.py SECONDS. Does nothing but wait where it is made already."""

import os
import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

UNAUTHORIZED, ALREADY_INITIALIZED, USER_EXISTS = 13, 23, 51003

deadline = time.monotonic() + float(sys.argv[1])
address = os.environ["MONGODB_URI"]  # not an argument, which everybody on the machine may read
uri = parse_uri(address)
names = [f"{host}:{port}" for host, port in uri["nodelist"]]
options = {"serverSelectionTimeoutMS": 2000, "tlsCAFile": uri["options"].get("tlsCAFile"), "tls": uri["options"].get("tls")}
options = {name: value for name, value in options.items() if value is not None}
# Before there is a user, whoever comes from the machine itself may make the set and the first user.
members = [MongoClient(name, directConnection=True, **options) for name in names]


def until(what, condition):
    error = None
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except PyMongoError as e:
            error = e
        time.sleep(0.1)
    sys.exit(f"no {what} in time: {error}")


def hello(member):
    return member.admin.command("hello")


def allow(codes, database, *command, **arguments):
    try:
        database.command(*command, **arguments)
    except OperationFailure as e:
        if e.code not in codes:
            raise


def whole():
    states = [hello(member) for member in members]
    primary = [member for member, state in zip(members, states) if state.get("isWritablePrimary")]
    return len(primary) == 1 and sum(bool(state.get("secondary")) for state in states) == len(members) - 1 and primary[0]


until("answer of every member", lambda: [hello(member) for member in members])
if "setName" not in hello(members[0]):
    config = {
        "_id": uri["options"]["replicaSet"],
        "members": [{"_id": i, "host": name} for i, name in enumerate(names)],
        # An election begins 2 s after the primary was last heard; 10 s by default.
        "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500},
    }
    allow([ALREADY_INITIALIZED], members[0].admin, "replSetInitiate", config)
primary = until("primary with its secondaries", whole)
if uri["username"]:
    roles = [{"role": "root", "db": "admin"}]
    allow([UNAUTHORIZED, USER_EXISTS], primary.admin, "createUser", uri["username"], pwd=uri["password"], roles=roles)
client = MongoClient(address, serverSelectionTimeoutMS=2000)
until("answer to a client", lambda: client.admin.command("ping"))
