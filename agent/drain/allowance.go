package drain

import "time"

// Allowance keeps a Budget for another way out than a drain. Its note is that
// of a drain, so that a change of the way does not begin a new month.
type Allowance struct {
	budget *budget
	store  Store
}

// NewAllowance goes on from what the store has kept.
func NewAllowance(b Budget, store Store) *Allowance {
	return &Allowance{newBudget(b, store.Kept(noteBudget)), store}
}

// Wait tells how long something of so many bytes that is not live has to wait.
// rate is that of the link in bytes a second, 0 where it is not known.
func (a *Allowance) Wait(now time.Time, wire int64, rate float64) time.Duration {
	return a.budget.wait(now, wire, rate)
}

// Spent counts bytes that have left.
func (a *Allowance) Spent(now time.Time, wire int64, live bool) {
	a.budget.spent(now, wire, live)
	a.store.Keep(noteBudget, a.budget.marshal())
}

// Usage tells how the budget is used.
func (a *Allowance) Usage(now time.Time) Usage { return a.budget.usage(now) }

// Spread is how long a site waits with its backlog when the other side is back
// after an absence, the same for a site each time.
func Spread(site string) time.Duration { return spread(site) }
