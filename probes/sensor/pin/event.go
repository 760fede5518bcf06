package pin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/probes"
)

// Event is what an input tells beside its points. The zero Event is none.
type Event struct {
	// Type is CUSTOM_INFO, for an event at each change, or the type of an event that
	// is open while the input is active, such as ERROR_EVENT.
	Type string
	// On and Off are the titles. Of CUSTOM_INFO one may be "", which tells nothing
	// then; of the others Off is not used.
	On, Off    string
	Properties []probes.Dimension // beside the dimensions of the input
}

// moment is the type of events that do not last.
const moment = "CUSTOM_INFO"

// lasting are the types of events that are open until they are closed.
var lasting = []string{"AVAILABILITY_EVENT", "CUSTOM_ALERT", "ERROR_EVENT", "PERFORMANCE_EVENT", "RESOURCE_CONTENTION_EVENT"}

func (e Event) lasts() bool { return e.Type != moment }

// Check says what is wrong.
func (e Event) Check() error {
	switch {
	case e.Type == "" && e.On+e.Off == "":
		return nil
	case e.Type == "":
		return fmt.Errorf("there are titles of an event and no type: write %s, or e.g. ERROR_EVENT", moment)
	case e.Type != moment && !slices.Contains(lasting, e.Type):
		return fmt.Errorf("%q is no type of event: write %s, or one of %s", e.Type, moment, strings.Join(lasting, ", "))
	case e.lasts() && e.On == "":
		return fmt.Errorf("the event has no title: write one for the time in which the input is active")
	case e.lasts() && e.Off != "":
		return fmt.Errorf("an %s is closed when the input is no longer active, and has one title: remove the second one, or write %s", e.Type, moment)
	case e.On+e.Off == "":
		return fmt.Errorf("the event has no title: write one for the change to active, one for the change back, or both")
	}
	return nil
}
