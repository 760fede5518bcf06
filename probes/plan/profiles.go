package plan

import "time"

// Profiles chooses what to read from a device that has no package of its own.
// It may be used by several goroutines; equal options give the same plan.
type Profiles interface {
	// For gives the plan that fits a device best, the generic one where nothing
	// is known of it.
	For(sysObjectID, sysDescr string, o ProfileOptions) (*Plan, error)
	// Named gives the plan of one profile.
	Named(name string, o ProfileOptions) (*Plan, error)
	// Names lists the profiles, sorted.
	Names() []string
	// FeatureSets lists the feature sets that some profile has, sorted.
	FeatureSets() ([]string, error)
	// Sum changes with every change of a profile.
	Sum() string
}

// ProfileOptions are the choices that a site makes for a profile.
type ProfileOptions struct {
	FeatureSets     []string      // beside what is always read; "all" for all
	InterfaceFilter string        // on if.name, as in ParseFilter; "": none
	Interval        time.Duration // of all blocks
}

// Walk is what a profile knows of how its devices want to be read.
type Walk struct {
	NoBulk    bool // GETBULK goes wrong
	Unordered bool // tables come out of order
	MaxReps   int  // upper bound of GETBULK repetitions; 0: the probe's default
}
