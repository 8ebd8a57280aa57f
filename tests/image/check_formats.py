"""Other people's readers of what ward-image writes. Prints `ok`, or what they found, and then ends with 1.

    check_formats.py pe FILE                     pefile: checksum and layout
    check_formats.py section FILE NAME OUT       pefile: one section's bytes
    check_formats.py cyclonedx FILE              the CycloneDX project's validator, strict, and its model
    check_formats.py provenance FILE             the in-toto project's types for statement and predicate
"""

import json
import sys


def pe(path):
    import pefile

    file = pefile.PE(path)
    problems = [] if file.verify_checksum() else ["the checksum is wrong"]
    end = 0
    for section in sorted(file.sections, key=lambda section: section.VirtualAddress):
        if section.VirtualAddress < end:
            problems.append(f"{section.Name} overlaps the one before")
        end = section.VirtualAddress + section.Misc_VirtualSize
    if file.OPTIONAL_HEADER.SizeOfImage < end:
        problems.append("SizeOfImage is too small")
    return problems


def section(path, name, out):
    import pefile

    for one in pefile.PE(path).sections:
        if one.Name.rstrip(b"\0").decode() == name:
            with open(out, "wb") as file:
                file.write(one.get_data()[: one.Misc_VirtualSize])
            return []
    return [f"no section {name}"]


def cyclonedx(path):
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path) as file:
        text = file.read()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        return [str(error)[:300]]
    bom = Bom.from_json(json.loads(text))
    return [] if bom.validate() else ["the model is not consistent"]


def provenance(path):
    import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb2
    import in_toto_attestation.v1.statement as statement
    from google.protobuf import json_format

    with open(path) as file:
        document = json.load(file)
    # Both refuse a field that they do not know.
    parsed = statement.Statement.copy_from_pb(
        json_format.ParseDict(document, statement.spb.Statement())
    )
    parsed.validate()
    if document["predicateType"] != "https://slsa.dev/provenance/v1":
        return ["another type of predicate"]
    predicate = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    if not predicate.build_definition.build_type or not predicate.run_details.builder.id:
        return ["what SLSA requires is missing"]
    return []


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    try:
        problems = {"pe": pe, "section": section, "cyclonedx": cyclonedx, "provenance": provenance}[what](*arguments)
    except Exception as error:  # whatever a reader says
        problems = [f"{type(error).__name__}: {error}"]
    print("\n".join(problems) or "ok")
    sys.exit(1 if problems else 0)
