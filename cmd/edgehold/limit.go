package main

// A fifth of what a control group allows stays for what the Go runtime does not
// count: pages of the program and of the store.
const limitShare = 5

// memoryLimit is what garbage is collected against, 0 for the runtime's own
// choice: GOMEMLIMIT, or none.
func memoryLimit(getenv func(string) string, bound func() (int64, error)) int64 {
	if getenv("GOMEMLIMIT") != "" {
		return 0
	}
	most, err := bound()
	if err != nil || most <= 0 {
		return 0 // a bound that nobody can read is kept by the kernel alone
	}
	return most / limitShare * (limitShare - 1)
}
