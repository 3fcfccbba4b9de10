package tenant

// LeaseRequest is what a proxy asks the Redis that all proxies share, for one bucket of tokens.
type LeaseRequest struct {
	Name    string // the bucket's, the same at all proxies
	Rate    int64  // tokens per second that it gets, all proxies together; 1 or more
	Burst   int64  // tokens that it holds at most; 1 or more
	Refills int64  // see Limits.Reset
	Used    int64  // tokens that were used here and have not been taken there yet
	Want    int64  // tokens to use here later; below 0: tokens from there that go back
}

// Lease is the answer to a LeaseRequest.
type Lease struct {
	Failed  bool    // there is none: what was asked may have been done or not
	Granted int64   // of Want; what went back is below 0
	Left    float64 // tokens that there are for all proxies; below 0: that are owed
}
