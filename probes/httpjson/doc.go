// Package httpjson polls endpoints that answer JSON and makes points, events and
// records of the answers, as a plan.Documents says.
package httpjson
