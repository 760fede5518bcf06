#!/usr/bin/env bash
# Measures the way over a relay, with mosquitto, TLS and access rules: a backlog
# from a site to a relay's disk and on, bytes on the wire, recovery after each
# fault, 500 sites on one relay. Twelve minutes. Arguments are measurements: Hop,
# Wire, Recovery, Crowd; all without any.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
measurements=$(IFS='|' && echo "${*:-Hop|Wire|Recovery|Crowd}")
export EDGEHOLD_SOAK=1

"$go" test -run "^TestSoakRelay($measurements)\$" -parallel 12 -count=1 -v -tags "${TAGS:-gosnmp_nodebug}" -timeout 40m ./agent
