"""Holds answers against the description of the HTTP interface, with validators that others wrote.

In: openapi.json and a file of answers. Out: one line for each problem, and exit code 1 if there is one.
"""

import json
import sys

import jsonschema
from openapi_spec_validator import validate

SPEC, ANSWERS = (json.load(open(path)) for path in sys.argv[1:3])
problems = []


def resolve(part):
    while "$ref" in part:
        found = SPEC
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def check(schema, value, where):
    """As OpenAPI 3.1 has it: JSON Schema 2020-12, references into the same document."""
    whole = {"allOf": [schema], "components": SPEC["components"]}
    for error in jsonschema.Draft202012Validator(whole).iter_errors(value):
        problems.append(f"{where}: {error.json_path}: {error.message[:300]}")


def events(text):
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        yield fields["event"], json.loads(fields["data"])


def check_answer(answer):
    where = f"{answer['method']} {answer['route']} {answer['status']}"
    operation = SPEC["paths"].get(answer["route"], {}).get(answer["method"].lower())
    described = operation and operation["responses"].get(str(answer["status"]))
    if not described:
        return problems.append(f"{where}: is not described")
    described = resolve(described)
    for name, header in described.get("headers", {}).items():
        value = answer["headers"].get(name.lower())
        if value is not None:
            schema = header["schema"]
            check(schema, int(value) if schema.get("type") == "integer" else value, f"{where} {name}")
    contents = described.get("content", {})
    media_type = answer["headers"].get("content-type", "").split(";")[0]
    if not answer["body"] and not contents:
        return None
    content = contents.get(media_type)
    if contents and content is None:
        return problems.append(f"{where}: the content type {media_type!r} is not described")
    if media_type == "application/json":
        check(content["schema"], json.loads(answer["body"]), where)
    elif media_type == "text/event-stream":
        for name, data in events(answer["body"]):
            check(content["x-events"].get(name, False), data, f"{where} event {name}")
    elif content:
        check(content["schema"], answer["body"], where)
    return None


try:
    validate(SPEC)
except Exception as error:  # the validator has many kinds
    problems.append(f"openapi.json: {error}")
for answer in ANSWERS:
    check_answer(answer)
for route, operations in SPEC["paths"].items():
    for method in operations:
        if not any(a["route"] == route and a["method"].lower() == method for a in ANSWERS):
            problems.append(f"{method.upper()} {route}: was not tried")
print("\n".join(problems))
sys.exit(1 if problems else 0)
