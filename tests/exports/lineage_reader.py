"""Read run events as others do: a program for the environment of `readers.py`, which has no Runnotary.

    python lineage_reader.py FILE      one JSON object: by line, what is wrong with it as the types of
                                       `openlineage-python` see it, and the facets that were read

The types are made from the public schemas: each event and facet is built by the type that names its
`schemaURL`, with no field too many and none missing, and written again; it must be what it was.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import cattrs
from openlineage.client import generated, serde
from openlineage.client.event_v2 import RunEvent

PLACES = ("facets", "inputFacets", "outputFacets")


def types():
    """Return the types of facets by the address of their schema."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for one in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            schema = getattr(one, "_get_schema", None)
            if isinstance(one, type) and schema is not None and schema():
                found[schema()] = one
    return found


def facets(event):
    """Yield every facet with the name that it has."""
    for thing in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for place in PLACES:
            yield from thing.get(place, {}).items()


def bare(event):
    """Return an event without its facets."""

    def without(thing):
        return {name: value for name, value in thing.items() if name not in PLACES}

    files = {name: [without(one) for one in event[name]] for name in ("inputs", "outputs")}
    return event | files | {"run": without(event["run"]), "job": without(event["job"])}


def said(value):
    """Leave out what is empty: writers of this format do."""
    if isinstance(value, dict):
        return {name: said(one) for name, one in value.items() if one is not None and one != {}}
    return [said(one) for one in value] if isinstance(value, list) else value


def wrong(line, known, converter):
    event = json.loads(line)
    read = converter.structure({k: v for k, v in bare(event).items() if k != "schemaURL"}, RunEvent)
    if event["schemaURL"] != read._get_schema():
        yield f"{event['schemaURL']} is not {read._get_schema()}"
    again = json.loads(serde.Serde.to_json(read))
    again["schemaURL"] = event["schemaURL"]
    if said(again) != said(bare(event)):
        yield f"the event is written again as {again}"
    for name, facet in facets(event):
        kind = known.get(facet["_schemaURL"])
        if kind is None:
            yield f"{name}: no type is of {facet['_schemaURL']}"
            continue
        words = {key: value for key, value in facet.items() if key not in ("_producer", "_schemaURL")}
        built = json.loads(serde.Serde.to_json(converter.structure(words, kind)))
        if said(built) != said(words | {"_producer": built["_producer"], "_schemaURL": facet["_schemaURL"]}):
            yield f"{name} is written again as {built}"


def main():
    known, converter = types(), cattrs.Converter(forbid_extra_keys=True)
    told = []
    for line in Path(sys.argv[1]).read_text().splitlines():
        try:
            problems = list(wrong(line, known, converter))
        except (AttributeError, KeyError, TypeError, ValueError, cattrs.BaseValidationError) as error:
            problems = [repr(error), *map(repr, getattr(error, "exceptions", ()))]
        told.append({"wrong": problems, "facets": sorted({name for name, _ in facets(json.loads(line))})})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
