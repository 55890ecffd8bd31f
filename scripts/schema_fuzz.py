#!/usr/bin/env python3
"""Random JSON Schemas and random instances, judged by Retort and by an independent validator (Python's jsonschema).

For each schema `retort grammar check --batch` says which of the instances it accepts and gives texts that its own masks
lead to. A disagreement is an instance that one accepts and the other rejects, a text of Retort's own that is not valid, or a
walk that found no end. Refusals are counted by their reason; an error other than a refusal is a finding.

    scripts/schema_fuzz.py [--retort build/release/retort] [--seconds 60] [--seed 1] [--batch 200]

Exit status 1 if there was a finding. The validator lives in a virtual environment under build/structured, made here; where
pip cannot install it the check is skipped, and says so.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import subprocess
import sys
import time

import jsonschema_venv

jsonschema_venv.enter()
import jsonschema  # noqa: E402

NAMES = ["a", "b", "ab", "c1", "x y", "é"]
PATTERNS = ["^a", "b$", "^[a-c]*$", "[0-9]", "^x", "a|c", "^.{1,2}$", "^(ab|c1)$", "é"]
NUMBERS = [0, 1, 2, 3, 5, 7, 10, 12, -1, -4, 0.5, 1.5, 2.0, -2.5, 100, 0.25]
STRINGS = ["", "a", "b", "ab", "abc", "x", "x y", "c1", "7", "é", "zz", "a\nb", '"', "2024-02-30"]
SCALARS = [None, True, False, *NUMBERS, *STRINGS]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


def value(rng, depth=2):
    kind = rng.random()
    if depth == 0 or kind < 0.5:
        return rng.choice(SCALARS)
    if kind < 0.72:
        return [value(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {rng.choice(NAMES): value(rng, depth - 1) for _ in range(rng.randrange(5))}


def some(rng, make, least=1, most=3):
    return [make() for _ in range(rng.randint(least, most))]


def pair(rng, low, high, names):
    a, b = sorted(rng.randint(low, high) for _ in range(2))
    result = {}
    if rng.random() < 0.7:
        result[names[0]] = a
    if rng.random() < 0.7:
        result[names[1]] = b
    return result


def schema(rng, depth=3):
    sub = lambda: schema(rng, depth - 1)
    if depth <= 0 or rng.random() < 0.08:
        return rng.choice([True, True, False, {}, {"type": rng.choice(TYPES)}, {"const": rng.choice(SCALARS)}])
    result = {}
    if rng.random() < 0.55:
        result["type"] = rng.choice(TYPES) if rng.random() < 0.7 else rng.sample(TYPES, rng.randint(1, 3))
    names = lambda: rng.sample(NAMES, rng.randint(1, 3))
    group = {
        "enum": lambda: {"enum": some(rng, lambda: value(rng, 1), 1, 5)},
        "const": lambda: {"const": value(rng, 1)},
        "range": lambda: {rng.choice(["minimum", "exclusiveMinimum"]): rng.choice(NUMBERS)},
        "upper": lambda: {rng.choice(["maximum", "exclusiveMaximum"]): rng.choice(NUMBERS)},
        "multiple": lambda: {"multipleOf": rng.choice([1, 2, 3, 0.5, 0.25, 7, 5])},
        "length": lambda: pair(rng, 0, 4, ["minLength", "maxLength"]),
        "pattern": lambda: {"pattern": rng.choice(PATTERNS)},
        "format": lambda: {"format": rng.choice(["date", "ipv4", "email", "color"])},
        "items": lambda: {"items": sub()},
        "prefix": lambda: {"prefixItems": some(rng, sub)},
        "counts": lambda: pair(rng, 0, 4, ["minItems", "maxItems"]),
        "contains": lambda: {"contains": sub(), **(pair(rng, 0, 3, ["minContains", "maxContains"]))},
        "unique": lambda: {"uniqueItems": True},
        "unevaluatedItems": lambda: {"unevaluatedItems": sub()},
        "properties": lambda: {"properties": {name: sub() for name in names()}},
        "patternProperties": lambda: {"patternProperties": {rng.choice(PATTERNS): sub() for _ in range(rng.randint(1, 2))}},
        "additional": lambda: {"additionalProperties": sub()},
        "propertyNames": lambda: {"propertyNames": rng.choice([{"pattern": rng.choice(PATTERNS)}, {"maxLength": 1}, {"enum": names()}])},
        "required": lambda: {"required": names()},
        "sizes": lambda: pair(rng, 0, 4, ["minProperties", "maxProperties"]),
        "dependentRequired": lambda: {"dependentRequired": {rng.choice(NAMES): names()}},
        "dependentSchemas": lambda: {"dependentSchemas": {rng.choice(NAMES): sub()}},
        "unevaluatedProperties": lambda: {"unevaluatedProperties": sub()},
        "not": lambda: {"not": sub()},
        "anyOf": lambda: {"anyOf": some(rng, sub, 1, 3)},
        "oneOf": lambda: {"oneOf": some(rng, sub, 1, 3)},
        "allOf": lambda: {"allOf": some(rng, sub, 1, 2)},
        "if": lambda: {"if": sub(), **({"then": sub()} if rng.random() < 0.8 else {}), **({"else": sub()} if rng.random() < 0.6 else {})},
        "ref": lambda: {"$ref": "#/$defs/d"},
    }
    for key in rng.sample(sorted(group), rng.randint(1, 4)):
        result.update(group[key]())
    return result


def mutated(rng, instance):
    if not isinstance(instance, (dict, list)) or not instance:
        return value(rng, 1)
    result = instance.copy()
    at = rng.choice(list(result)) if isinstance(result, dict) else rng.randrange(len(result))
    if rng.random() < 0.4:
        del result[at]
    elif rng.random() < 0.5:
        if isinstance(result, dict):
            result[rng.choice(NAMES)] = value(rng, 1)
        else:
            result.insert(at, value(rng, 1))
    else:
        result[at] = mutated(rng, result[at])
    return result


def is_ordinary(text):
    """Numbers that doubles hold, with which the validator computes, and no line's end but \\n, which a dot of ECMA 262's patterns
    leaves out and one of Python's does not."""
    if re.search(r"[\u2028\u2029]|\\r|\\u(000[dD]|202[89])", text):
        return False
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    return all(len(number) <= 12 and "e" not in number.lower() for number in re.findall(r"-?[0-9][-+.0-9eE]*", text))


def unrepeated(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def case(rng):
    made = schema(rng)
    if isinstance(made, dict) and "$ref" in json.dumps(made):
        made["$defs"] = {"d": schema(rng, 2)}
    instances = [value(rng, 3) for _ in range(12)]
    # A schema says which names and values matter: take what it is made of.
    instances += [mutated(rng, instance) for instance in instances[:6]]
    return made, instances


def check(retort, cases, seed):
    lines = "".join(
        json.dumps({"schema": made, "texts": [json.dumps(i, separators=(",", ":"), ensure_ascii=False) for i in instances],
                    "samples": 3, "seed": seed}, ensure_ascii=False) + "\n" for made, instances in cases)
    run = subprocess.run([*retort, "grammar", "check", "--batch", "-", "--format", "annotation", "--order", "any"],
                         input=lines, capture_output=True, text=True)
    # Not splitlines(), to which characters that JSON leaves as they are end lines too.
    answers = [json.loads(line) for line in run.stdout.split("\n") if line]
    if run.returncode != 0 or len(answers) != len(cases):
        print(f"FINDING: exit status {run.returncode} after {len(answers)} of {len(cases)} schemas: {run.stderr[-500:]}")
        print(json.dumps(cases[min(len(answers), len(cases) - 1)][0]))
        sys.exit(1)
    return answers


def judge(made, instances, answer, counts, report):
    validator = jsonschema.Draft202012Validator(made)
    if "refused" in answer:
        counts["refused"] += 1
        counts["refused: " + re.sub(r"^schema:[0-9:]* ?[^ ]*:? ?", "", answer["refused"])[:60]] += 1
        if "no value satisfies" in answer["refused"]:
            for instance in instances:
                if validator.is_valid(instance):
                    report("refused as unsatisfiable, but valid", made, instance, answer["refused"])
                    break
        return
    counts["compiled"] += 1
    for instance, accepted in zip(instances, answer["accepted"]):
        valid = validator.is_valid(instance)
        counts["valid" if valid else "invalid"] += 1
        if valid != accepted:
            report("valid, but rejected" if valid else "invalid, but accepted", made, instance, "")
    for text in answer["samples"]:
        if text is None:
            counts["walks without an end"] += 1
            continue
        try:
            instance = json.loads(text, object_pairs_hook=unrepeated)
        except ValueError as error:
            report(f"no JSON: {error}", made, text, "")
            continue
        if not is_ordinary(text):
            continue
        counts["walks"] += 1
        if not validator.is_valid(instance):
            report("a walk's end is invalid", made, instance, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retort", default="build/release/retort", help="the program, with its arguments if any")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=200)
    options = parser.parse_args()
    counts = collections.Counter()
    findings = []

    def report(what, made, instance, detail):
        findings.append(what)
        if len(findings) <= 20:
            print(f"FINDING: {what}\n  schema   {json.dumps(made, ensure_ascii=False)}\n"
                  f"  instance {json.dumps(instance, ensure_ascii=False)}\n  {detail}", flush=True)

    end = time.monotonic() + options.seconds
    seed = options.seed
    while time.monotonic() < end:
        rng = random.Random(seed)
        cases = [case(rng) for _ in range(options.batch)]
        for (made, instances), answer in zip(cases, check(options.retort.split(), cases, seed)):
            try:
                judge(made, instances, answer, counts, report)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # the validator's, of a schema that refers to itself at once
                if type(error).__name__ not in ("RecursionError", "PanicException"):
                    raise
                counts["not judged"] += 1
        seed += 1
    for name, count in sorted(counts.items(), key=lambda item: (item[0].startswith("refused:"), -item[1])):
        print(f"{count:8} {name}")
    print(f"{len(findings)} findings, seeds {options.seed} to {seed - 1}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
