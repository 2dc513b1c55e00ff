"""Shows what `undertone lineage` wrote to the clients of other people, and exits 1 if one refuses it.

Run by crates/cli/tests/cli/lineage_clients.rs with the interpreter of UNDERTONE_LINEAGE_PYTHON; see requirements.txt. Each
check is one subcommand, so that a test can show a file that must be accepted and a changed one that must be refused.
"""

import argparse
import base64
import json
import logging
import pathlib
import sys

logging.disable(logging.WARNING)


def dsse(path, key):
    """securesystemslib verifies the envelope, in-toto-attestation validates the statement in it."""
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement import Statement
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    document = json.loads(pathlib.Path(path).read_text())
    public = load_pem_public_key(pathlib.Path(key).read_bytes())
    key = SSlibKey.from_crypto(public, keyid=document["signatures"][0]["keyid"])
    envelope = Envelope.from_dict(document)
    accepted = envelope.verify([key], 1)
    assert len(accepted) == 1, accepted
    payload = base64.b64decode(document["payload"])
    statement = Statement.copy_from_pb(json_format.Parse(payload, Statement([], "", {}).pb))
    statement.validate()
    assert statement.pb.predicate_type == "https://slsa.dev/provenance/v1"


def cyclonedx(path):
    """cyclonedx-python-lib validates strictly and parses."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = pathlib.Path(path).read_text()
    error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    assert error is None, error
    bom = Bom.from_json(json.loads(text))
    assert bom.metadata.component is not None


def croissant(path, rows):
    """mlcroissant validates and loads the rows."""
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=path)
    loaded = list(dataset.records(record_set="rows"))
    assert len(loaded) == rows, len(loaded)
    generated = json.loads(pathlib.Path(path).read_text())["prov:wasGeneratedBy"]
    assert generated, "no generator is named"


def openlineage(path):
    """openlineage-python takes every event in its own types."""
    from openlineage.client.event_v2 import Dataset, InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import job_type_job, datasource_dataset  # noqa: F401
    from openlineage.client.serde import Serde

    lines = pathlib.Path(path).read_text().splitlines()
    assert lines, "no events"
    for line in lines:
        event = json.loads(line)
        for facets in [event["run"]["facets"], event["job"]["facets"]] + [
            dataset["facets"] for dataset in event["inputs"] + event["outputs"]
        ]:
            for facet in facets.values():
                assert facet["_producer"] and facet["_schemaURL"], facet
        made = RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            eventType=RunState[event["eventType"]],
            run=Run(runId=event["run"]["runId"]),
            job=Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
            inputs=[InputDataset(namespace=d["namespace"], name=d["name"]) for d in event["inputs"]],
            outputs=[OutputDataset(namespace=d["namespace"], name=d["name"]) for d in event["outputs"]],
        )
        again = json.loads(Serde.to_json(made))
        assert again["schemaURL"] == event["schemaURL"], (again["schemaURL"], event["schemaURL"])
        assert again["eventTime"] == event["eventTime"]


def spdx(path):
    """spdx-python-model reads the graph into its types and finds nothing missing."""
    from spdx_python_model import v3_0_1 as spdx3

    objects = spdx3.SHACLObjectSet()
    with open(path, "rb") as file:
        spdx3.JSONLDDeserializer().read(file, objects)
    missing = objects.link()
    assert not missing, missing
    documents = list(objects.foreach_type(spdx3.SpdxDocument))
    assert len(documents) == 1
    packages = list(objects.foreach_type(spdx3.software_Package))
    assert packages, "no packages"


def card(path, field, value):
    """huggingface_hub reads the front matter."""
    from huggingface_hub import DatasetCard, ModelCard

    kind = DatasetCard if field in ("source_datasets", "size_categories") else ModelCard
    data = kind.load(path).data.to_dict()
    found = data.get(field)
    assert found == value or found == [value], (field, found)


def sign(folder, signature, key):
    """model-signing signs a folder."""
    import model_signing

    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=pathlib.Path(key))
    config.set_hashing_config(
        model_signing.hashing.Config().set_ignored_paths(paths=[pathlib.Path(signature)], ignore_git_paths=True)
    )
    config.sign(pathlib.Path(folder), pathlib.Path(signature))


def verify(folder, signature, key):
    """model-signing verifies a folder."""
    import model_signing

    config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=pathlib.Path(key))
    config.set_hashing_config(
        model_signing.hashing.Config().set_ignored_paths(paths=[pathlib.Path(signature)], ignore_git_paths=True)
    )
    config.verify(pathlib.Path(folder), pathlib.Path(signature))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    checks = parser.add_subparsers(required=True)
    for function, names in [
        (dsse, ["path", "key"]),
        (cyclonedx, ["path"]),
        (croissant, ["path", "rows"]),
        (openlineage, ["path"]),
        (spdx, ["path"]),
        (card, ["path", "field", "value"]),
        (sign, ["folder", "signature", "key"]),
        (verify, ["folder", "signature", "key"]),
    ]:
        check = checks.add_parser(function.__name__, help=function.__doc__)
        for name in names:
            check.add_argument(name, type=int if name == "rows" else str)
        check.set_defaults(function=function, names=names)
    arguments = parser.parse_args()
    try:
        arguments.function(*[getattr(arguments, name) for name in arguments.names])
    except Exception as error:  # Whatever a client raises is a refusal.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
