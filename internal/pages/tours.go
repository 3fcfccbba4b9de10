package pages

import "path"

// Tour is a test that runs what stands in a page.
type Tour struct {
	Page    string // or a pattern of pages, as of path.Match
	Package string // the test's folder
	Test    string
}

// Tours are all of them. A block that names no tour is that of the first that has its page.
var Tours = []Tour{
	{"README.md", "internal/pages/tours", "TestReadmeTour"},
	{"README.md", "cmd/proxy", "TestComposeRuns"},
	{"README.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/API.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/APPLY.md", "internal/pages/tours", "TestApplyTour"},
	{"docs/CLI.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/LOGS.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/BACKUP.md", "internal/pages/tours", "TestBackupTour"},
	{"docs/CACHING.md", "internal/pages/tours", "TestCachingTour"},
	{"docs/INSTALL.md", "internal/pages/tours", "TestInstallTour"},
	{"docs/LIMITS.md", "internal/pages/tours", "TestLimitsTour"},
	{"docs/OBSERVABILITY.md", "cmd/proxy", "TestIncident"},
	{"docs/OPERATING.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/OPERATING.md", "internal/pages/tours", "TestOperatingTour"},
	{"docs/PERFORMANCE.md", "internal/pages/tours", "TestLoadTour"},
	{"docs/PROXY-COMMAND.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/REGIONS.md", "internal/pages/tours", "TestRegionsTour"},
	{"docs/SECURITY-GUIDE.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/SIZING.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/TLS.md", "internal/pages/tours", "TestTLSTour"},
	{"docs/TROUBLESHOOTING.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/UPGRADING.md", "cmd/proxy", "TestOperatorsTour"},
	{"docs/quickstart/go.md", "conformance", "TestQuickStarts"},
	{"docs/quickstart/javascript.md", "conformance", "TestQuickStarts"},
	{"docs/quickstart/php.md", "conformance", "TestQuickStarts"},
	{"docs/quickstart/python.md", "conformance", "TestQuickStarts"},
	{"docs/quickstart/ruby.md", "conformance", "TestQuickStarts"},
	{"docs/runbooks/*.md", "cmd/proxy", "TestOperatorsTour"},
}

// tourOf is the tour that runs the block.
func tourOf(b Block) (Tour, bool) {
	for _, t := range Tours {
		has, _ := path.Match(t.Page, b.Page) // a bad pattern has no page, which a test tells
		if has && (b.Tour == "" || b.Tour == t.Test) {
			return t, true
		}
	}
	return Tour{}, false
}
