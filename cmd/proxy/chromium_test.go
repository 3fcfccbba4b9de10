package main

import (
	"bytes"
	"context"
	stdflag "flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/respgate/respgate/internal/testbed"
)

// screenshots is a directory for pictures of the console's pages; "" makes none.
var screenshots = stdflag.String("console.screenshots", "", "write pictures of the console's pages to this `directory`")

const (
	maxPicture = 150_000 // bytes of a picture: they are part of the repository
	maxHeight  = 2000    // pixels of a page that a picture has
)

// chromium is a tab of a real browser. What its console says against a page fails the test.
type chromium struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu   sync.Mutex
	said []string
}

// startChromium runs a browser without a window for the console of a proxy until the test
// ends. Every tab that is opened with it has cookies of its own.
func startChromium(t testing.TB) func(base string) *chromium {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(testbed.Binary(t, "chromium", "chromium")), chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir())}
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"} {
		options = append(options, chromedp.Flag(name, true))
	}
	options = append(options, chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("host-resolver-rules", "MAP console.test 127.0.0.1"))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return func(base string) *chromium {
		t.Helper()
		ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		c := &chromium{t: t, ctx: ctx, base: base}
		var listening sync.WaitGroup
		messages := chromedp.Console(ctx)
		listening.Go(func() {
			for m, err := range messages {
				if err != nil {
					return
				}
				c.hear(m)
			}
		})
		t.Cleanup(func() { cancel(); listening.Wait(); c.check() })
		return c
	}
}

// hear keeps what the browser's console says against a page: errors, warnings, and what the
// page's policy forbids.
func (c *chromium) hear(m chromedp.ConsoleMessage) {
	switch m.Type {
	case "log", "info", "debug":
		return
	}
	if strings.Contains(m.Text, "The Cross-Origin-Opener-Policy header has been ignored") {
		return // as it is over plain HTTP
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line))
}

// forgive forgets what the browser's console has said with those words.
func (c *chromium) forgive(words string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = slices.DeleteFunc(c.said, func(said string) bool { return strings.Contains(said, words) })
}

func (c *chromium) check() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, words := range c.said {
		c.t.Errorf("the browser's console says %s", words)
	}
	c.said = nil
}

// run is chromedp.Run with a bound.
func run1[T any](c *chromium, what string, action chromedp.Action[T]) T {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, testbed.Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		c.t.Fatalf("%s: %v; the page is %s", what, err, c.words())
	}
	return v
}

// open goes to a path.
func (c *chromium) open(path string) {
	c.t.Helper()
	run1(c, "open "+path, chromedp.Navigate(c.base+path))
}

// fill types into a field, in place of what is there.
func (c *chromium) fill(field, value string) {
	c.t.Helper()
	run1(c, "find "+field, chromedp.WaitVisible(chromedp.CSS(field)))
	if !is[bool](c, fmt.Sprintf(`(field => { field.focus(); field.select(); return document.activeElement === field })(document.querySelector(%q))`, field)) {
		c.t.Fatalf("%s cannot be filled in", field)
	}
	c.key(value)
}

// choose chooses in a list.
func (c *chromium) choose(field, value string) {
	c.t.Helper()
	if !is[bool](c, fmt.Sprintf(`(field => { field.value = %q; return field.value === %q })(document.querySelector(%q))`, value, value, field)) {
		c.t.Fatalf("%s cannot be chosen in %s", value, field)
	}
}

// press presses a button or follows a link, and waits for words on the page that follows.
func (c *chromium) press(what, words string) {
	c.t.Helper()
	run1(c, "press "+what, chromedp.Click(chromedp.CSS(what)))
	c.sees(words)
}

// sees waits until the page has some words.
func (c *chromium) sees(words string) {
	c.t.Helper()
	said := ""
	defer func() {
		if c.t.Failed() {
			c.t.Logf("the page says %s", said)
		}
	}()
	testbed.Eventually(c.t, fmt.Sprintf("the page says %q", words), func() bool {
		said = c.words()
		return strings.Contains(said, words)
	})
}

// words are what the page says. While it changes they are "".
func (c *chromium) words() string {
	ctx, cancel := context.WithTimeout(c.ctx, testbed.Patience)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.body.innerText : ""`))
	return text
}

// is evaluates an expression of the page's.
func is[T any](c *chromium, expression string) T {
	c.t.Helper()
	return run1(c, expression, chromedp.Evaluate[T](expression))
}

// key presses keys.
func (c *chromium) key(keys string) {
	c.t.Helper()
	run1(c, "press keys", chromedp.KeyEvent(keys))
}

// scripts lets pages run scripts, or not.
func (c *chromium) scripts(run bool) {
	c.t.Helper()
	if _, err := chromedp.Call(c.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run}); err != nil {
		c.t.Fatal(err)
	}
}

// The sizes and colours in which pages are looked at.
var looks = []struct {
	name          string
	width, height int64
	dark, phone   bool
}{
	{"desktop-light", 1280, 800, false, false},
	{"desktop-dark", 1280, 800, true, false},
	{"phone-light", 390, 844, false, true},
	{"phone-dark", 390, 844, true, true},
}

// picture looks at the page in all sizes and colours: nothing is wider than the screen, the
// colours are those that are wanted and can be told apart. With -console.screenshots it
// writes what it sees.
func (c *chromium) picture(name string) {
	c.t.Helper()
	for _, look := range looks {
		scheme := "light"
		if look.dark {
			scheme = "dark"
		}
		var sized []chromedp.EmulateViewportOption
		if look.phone {
			sized = append(sized, chromedp.EmulateMobile)
		}
		run1(c, "size", chromedp.EmulateViewport(look.width, look.height, sized...))
		_, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			c.t.Fatal(err)
		}
		if wide := is[int64](c, `document.documentElement.scrollWidth`); wide > look.width {
			c.t.Errorf("%s, %s: the page is %d wide, want %d at most", name, look.name, wide, look.width)
		}
		if *screenshots != "" {
			height := min(maxHeight, max(look.height, is[int64](c, `document.documentElement.scrollHeight`)))
			run1(c, "size", chromedp.EmulateViewport(look.width, height, sized...))
			c.write(*screenshots, name+"-"+look.name+".png", run1(c, "screenshot", chromedp.CaptureScreenshot()), maxPicture)
		}
	}
	run1(c, "size", chromedp.EmulateViewport(1280, 800))
}

// fewColours is a picture in the 256 colours of it that are most common, and so a third of
// the size: pages have few, and shades of them where letters end.
func fewColours(picture image.Image) image.Image {
	counts := map[color.Color]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[picture.At(x, y)]++
		}
	}
	palette := color.Palette(slices.Collect(maps.Keys(counts)))
	slices.SortFunc(palette, func(a, b color.Color) int { return counts[b] - counts[a] })
	palette = palette[:min(len(palette), 256)]
	nearest := map[color.Color]uint8{}
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			out.SetColorIndex(x, y, nearest[picture.At(x, y)])
		}
	}
	return out
}

// write writes a picture to a directory, which must not have more bytes than most.
func (c *chromium) write(dir, name string, taken []byte, most int) {
	c.t.Helper()
	picture, err := png.Decode(bytes.NewReader(taken))
	if err != nil {
		c.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, fewColours(picture)); err != nil {
		c.t.Fatal(err)
	}
	if out.Len() > most {
		c.t.Errorf("%s has %d bytes, want %d at most", name, out.Len(), most)
	}
	if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
		c.t.Fatal(err)
	}
}
