// The guest program is /init of an emulated machine, and the tools that run
// there: `/init TOOL ARGUMENT...`.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// errUsage is returned by a tool that got the wrong arguments.
var errUsage = errors.New("wrong number of arguments")

type tool func(args []string) error

func tools() map[string]tool {
	return map[string]tool{
		"accounts": accounts,
		"cat":      cat,
		"i2c":      readI2C,
		"mount":    mount,
		"put":      put,
		"records":  records,
		"switches": switches,
		"synced":   synced,
		"write":    write,
	}
}

func main() {
	if os.Getpid() == 1 {
		boot()
		return
	}
	if err := use(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func use(args []string) error {
	known := tools()
	if len(args) == 0 || known[args[0]] == nil {
		return fmt.Errorf("name one of %q", slices.Sorted(maps.Keys(known)))
	}
	if err := known[args[0]](args[1:]); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
