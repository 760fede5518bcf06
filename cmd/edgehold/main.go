// Edgehold polls network gear and sensors where a data centre's tools do not
// fit, keeps every measurement through outages of any length and drains it to
// Dynatrace.
package main

import (
	"os"
	"strconv"
	"time"
)

// Set by the linker: the version, the commit, and its moment in Unix seconds.
var (
	version = "dev"
	commit  = ""
	built   = ""
)

// oldestBuild is believed of a build that was not told its time.
const oldestBuild = 1_795_219_200 // 21 November 2026

// buildTime is a moment that is surely past.
func buildTime() time.Time {
	seconds, err := strconv.ParseInt(built, 10, 64)
	if err != nil || seconds < oldestBuild {
		seconds = oldestBuild
	}
	return time.Unix(seconds, 0)
}

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
