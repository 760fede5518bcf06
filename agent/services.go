package agent

import (
	"context"
	"fmt"
	"sync"
)

// service is one long-running part of the agent: it runs until its context
// ends and then returns nil.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// runAll runs services until ctx ends or one of them fails, which ends the
// others, and returns the first failure once all have ended.
func runAll(ctx context.Context, services []service) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, s := range services {
		wg.Go(func() {
			if err := s.run(ctx); err != nil {
				once.Do(func() { first = fmt.Errorf("run %s: %w", s.name, err) })
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}

// panicError is a poll that panicked.
type panicError struct {
	value any
	stack []byte
}

// Error says what happened without the stack, which goes to the log.
func (e panicError) Error() string {
	return fmt.Sprintf("the probe failed inside (%v); please report this with the log", e.value)
}
