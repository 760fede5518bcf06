package prometheus

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is told of an endpoint that gives nothing says what to look at.
func TestWordsOfAnEndpointThatFails(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{refusal(&http.Response{StatusCode: 404}), "check the path of the URL"},
		{refusal(&http.Response{StatusCode: 500}), "it answers 500 Internal Server Error; look at the log"},
		{refusal(&http.Response{StatusCode: 401}), "check scheme, user and secret"},
		{unreachable(t.Context(), fmt.Errorf("dial: %w", syscall.ECONNREFUSED), time.Second), "check host and port of the URL"},
	} {
		if !strings.Contains(fmt.Sprint(tt.err), tt.want) {
			t.Errorf("%v, want %q", tt.err, tt.want)
		}
	}
	if err := refusal(&http.Response{StatusCode: 200}); err != nil {
		t.Error(err)
	}
}
