#!/usr/bin/env bash
# Measures the drain beside a gzip baseline: processor seconds of a process that
# drains over TLS, bytes on the wire of steady traffic, memory while ten million
# points leave. A quarter of an hour. EDGEHOLD_WAYS picks some of full, 1m, otlp,
# gzip and leased; EDGEHOLD_PROFILE names a folder for profiles of the processor.
# Arguments are measurements: CPU, Wire, Memory; all without any.
set -euo pipefail
cd "$(dirname "$0")/../.."

go=${GO:-go}
tags=${TAGS:-gosnmp_nodebug}
measurements=$(IFS='|' && echo "${*:-.*}")
export EDGEHOLD_SOAK=1

"$go" test -run '^$' -bench 'Drain|Compress|Fold' -benchmem -tags "$tags" ./agent/drain
"$go" test -run '^$' -bench 'AppendLine|Writer' -benchmem -tags "$tags" ./agent/mint
"$go" test -run "^TestSoakDrain($measurements)\$" -count=1 -v -tags "$tags" -timeout 40m ./agent/drain
