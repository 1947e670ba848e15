#!/bin/sh
# Install the locked versions of what the extra $1 needs, and `impasto` itself without its code:
# its version and its command. The code is copied later, so a change of code installs nothing again.
set -eu

mkdir /tmp/impasto
cd /tmp/impasto
sed '/^packages = \[$/,/^\]$/d' /source/pyproject.toml > pyproject.toml
touch README.md LICENSE
PIP_ROOT_USER_ACTION=ignore pip install --disable-pip-version-check --progress-bar off \
    --find-links /source/wheels --constraint /source/requirements.lock ".[$1]"
rm -r /tmp/impasto
