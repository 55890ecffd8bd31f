#!/usr/bin/env bash
# Makes the one-line faults of tests/mutations one by one in a copy of the tree, and runs the tests that should notice.
#   scripts/mutations.sh [ROOM | ROOM/NAME]...     all of them without arguments
set -euo pipefail
exec python3 "$(dirname "$0")/mutations.py" "$@"
