#!/usr/bin/env bash
# Measures polling: processor seconds of a poll, memory of 200 and of 1,000
# devices, punctuality and completeness beside dead, slow and lossy devices. The
# agent is a process of its own, the devices and the stand-in environment are in
# another. Twenty minutes. Arguments are measurements: Processor, Memory200,
# Memory1000, Punctual, Dead; all without any.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
measurements=$(IFS='|' && echo "${*:-.*}")
export EDGEHOLD_SOAK=1
EDGEHOLD_BINARY=$(realpath "${EDGEHOLD_BINARY:-bin/edgehold}")
export EDGEHOLD_BINARY

"$go" test -run "^TestSoakFleet\$/^($measurements)\$" -count=1 -v -tags "${TAGS:-gosnmp_nodebug}" -timeout 40m ./agent
