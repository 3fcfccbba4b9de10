package store

import "context"

// withinKey is what a context has the organization's id by.
type withinKey struct{}

// Within returns a context in which an organization's name stands for the one with that id
// only: where another has the name by now, it is not found. "" is any. Who may do something
// in an organization has been found out by its name; what follows is to be done in that one.
func Within(ctx context.Context, orgID string) context.Context {
	return context.WithValue(ctx, withinKey{}, orgID)
}

// within returns the id of the organization that ctx is within; "" is any.
func within(ctx context.Context) string {
	id, _ := ctx.Value(withinKey{}).(string)
	return id
}

// outside reports whether an organization is not the one that ctx is within.
func outside(ctx context.Context, orgID string) bool {
	id := within(ctx)
	return id != "" && id != orgID
}
