// Edgehold polls network gear and sensors where a data centre's tools do not
// fit, keeps every measurement through outages of any length and drains it to
// Dynatrace.
package main

import (
	"os"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
