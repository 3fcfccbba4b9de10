//go:build bare

package bare

// On says that there is no policy, no limit and no metric.
const On = true
