"""Rules about the files of a bundle, before any of them is understood."""

from typing import Final

from remit_server.adapters.policy.rule_book.kinds import advice, error

FILE_RULES: Final = (
    error(
        "bundle",
        "The bundle cannot be used",
        "The gateway decides by a bundle only when all of it is understood",
        "As the finding says",
    ),
    error(
        "bundle-file",
        "A file has no meaning where it stands, or must not be read: a link, an odd name, what everybody may change",
        "OPA would leave it out without a word, or what it holds could change after it was checked",
        "Keep rules in *.rego, data in data.yaml or data.json, schemas in schemas/, the rest elsewhere",
    ),
    error(
        "bundle-size",
        "The bundle or one of its files is over its bounds",
        "Every worker and every replica loads the whole bundle; an unbounded one could stop them all",
        "Make it smaller, or split it into files",
    ),
    error(
        "manifest",
        ".manifest is missing, malformed, names other roots, or a revision that the files do not make",
        "Every record names the revision that decided; a wrong one would name files that nobody checked",
        "Run `remit-server policy stamp` after every intended change",
    ),
    error(
        "encoding",
        "A file is not plain UTF-8, or holds a NUL byte or a byte order mark",
        "Readers disagree about such bytes, so that a reviewer may see other rules than the gateway",
        "Save it as plain UTF-8",
    ),
    error(
        "data-file",
        "A data file is not JSON or YAML that every reader reads alike, or gives one path two values",
        "OPA, editors and the gateway could each see other data",
        "Quote what is ambiguous, write aliases out, keep one data file per folder",
    ),
    advice(
        "schema-differs",
        "A schema in the bundle's schemas/ is not the one of this gateway, or one is missing",
        "Editors then accept what the gateway refuses, or the other way round; the gateway never reads these files",
        "Run `remit-server policy schemas --output policies/schemas`",
    ),
)
