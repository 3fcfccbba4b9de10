package release

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// project is where the project is.
const project = "../../.."

// builder does a Dockerfile's steps as `docker build` does, each stage in a folder of its own. What
// RUN runs has this machine's programs, with the stage's folder written in front of the paths in it.
type builder struct {
	t      *testing.T
	root   string // of this build
	args   map[string]string
	meta   []instructions.ArgCommand
	stages []instructions.Stage
	built  map[string]*stage
}

// stage is a stage that is being built, and what its image will be.
type stage struct {
	dir        string            // its files
	tools      string            // the image that its programs are from; "" is none
	workdir    string            // absolute, in dir
	vars       map[string]string // ARG and ENV
	env        map[string]string // ENV
	labels     map[string]string
	user       string
	health     []string
	entrypoint []string
	cmd        []string
	stopSignal string
	owners     map[string]string // of what COPY --chown has brought, by its path
}

// newBuilder reads the project's Dockerfile. args are as --build-arg has them.
func newBuilder(t *testing.T, root string, args map[string]string) *builder {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	stages, meta, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &builder{t: t, root: root, args: args, meta: meta, stages: stages, built: map[string]*stage{}}
}

// image builds the last stage, and those that it takes something from.
func (b *builder) image() *stage {
	b.t.Helper()
	last := b.stages[len(b.stages)-1]
	return b.build(last)
}

// named is the stage with that name, built.
func (b *builder) named(name string) *stage {
	b.t.Helper()
	if s := b.built[name]; s != nil {
		return s
	}
	for _, s := range b.stages {
		if s.Name == name {
			b.built[name] = b.build(s)
			return b.built[name]
		}
	}
	b.t.Fatalf("the Dockerfile has no stage %q", name)
	return nil
}

func (b *builder) build(from instructions.Stage) *stage {
	b.t.Helper()
	global := map[string]string{}
	for _, arg := range b.meta {
		b.declare(global, arg)
	}
	s := &stage{dir: filepath.Join(b.root, fmt.Sprint(len(b.built), from.Name)), workdir: "/", vars: map[string]string{}, env: map[string]string{}, labels: map[string]string{}, owners: map[string]string{}}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	base := b.expand(global, from.BaseName)
	switch {
	case base == "scratch":
	case strings.Contains(base, ":"):
		s.tools = base
	default:
		under := b.named(base)
		if err := os.CopyFS(s.dir, os.DirFS(under.dir)); err != nil {
			b.t.Fatal(err)
		}
		s.tools, s.workdir = under.tools, under.workdir
	}
	for _, command := range from.Commands {
		b.step(s, command)
	}
	return s
}

// step does one instruction. One that it does not know fails the test.
func (b *builder) step(s *stage, command instructions.Command) {
	b.t.Helper()
	if e, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := e.Expand(func(word string) (string, error) { return b.expand(s.vars, word), nil }); err != nil {
			b.t.Fatal(err)
		}
	}
	switch c := command.(type) {
	case *instructions.ArgCommand:
		b.declare(s.vars, *c)
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			s.env[kv.Key], s.vars[kv.Key] = kv.Value, kv.Value
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			s.labels[kv.Key] = kv.Value
		}
	case *instructions.WorkdirCommand:
		s.workdir = c.Path
		if err := os.MkdirAll(filepath.Join(s.dir, c.Path), 0o755); err != nil {
			b.t.Fatal(err)
		}
	case *instructions.CopyCommand:
		b.copy(s, c)
	case *instructions.RunCommand:
		b.run(s, strings.Join(c.CmdLine, " "))
	case *instructions.UserCommand:
		s.user = c.User
	case *instructions.HealthCheckCommand:
		s.health = c.Health.Test
	case *instructions.EntrypointCommand:
		s.entrypoint = c.CmdLine
	case *instructions.CmdCommand:
		s.cmd = c.CmdLine
	case *instructions.StopSignalCommand:
		s.stopSignal = c.Signal
	case *instructions.VolumeCommand, *instructions.ExposeCommand:
	default:
		b.t.Fatalf("the test does not know %s", command.Name())
	}
}

// declare gives ARGs their values.
func (b *builder) declare(vars map[string]string, c instructions.ArgCommand) {
	for _, arg := range c.Args {
		if given, ok := b.args[arg.Key]; ok {
			vars[arg.Key] = given
		} else if arg.Value != nil {
			vars[arg.Key] = b.expand(vars, *arg.Value)
		}
	}
}

func (b *builder) expand(vars map[string]string, word string) string {
	b.t.Helper()
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	text, _, err := shell.NewLex('\\').ProcessWord(word, shell.EnvsFromSlice(env))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// copy is COPY: from the context, or from another stage.
func (b *builder) copy(s *stage, c *instructions.CopyCommand) {
	b.t.Helper()
	to := filepath.Join(s.dir, c.DestPath)
	if !filepath.IsAbs(c.DestPath) {
		to = filepath.Join(s.dir, s.workdir, c.DestPath)
	}
	into := strings.HasSuffix(c.DestPath, "/") || strings.HasSuffix(c.DestPath, ".") || len(c.SourcePaths) > 1
	for _, source := range c.SourcePaths {
		from := b.source(c.From, source)
		info, err := os.Stat(from)
		if err != nil {
			b.t.Fatalf("COPY %s: %v", source, err)
		}
		target := to
		switch {
		case info.IsDir():
			if c.From != "" {
				err = os.CopyFS(target, os.DirFS(from))
			} else {
				err = copyContext(target, from)
			}
		default:
			if into {
				target = filepath.Join(to, filepath.Base(source))
			}
			err = copyFile(target, from, info.Mode())
		}
		if err != nil {
			b.t.Fatalf("COPY %s: %v", source, err)
		}
		if c.Chown != "" {
			s.owners[target] = c.Chown
		}
	}
}

// source is where a COPY finds a path.
func (b *builder) source(stage, path string) string {
	b.t.Helper()
	if stage == "" {
		return filepath.Join(project, path)
	}
	from := b.named(stage)
	own := filepath.Join(from.dir, path)
	if _, err := os.Stat(own); err != nil && from.tools != "" {
		return path // its image's, for which this machine stands
	}
	return own
}

// run is RUN.
func (b *builder) run(s *stage, line string) {
	b.t.Helper()
	for _, dir := range []string{"/out", "/src"} {
		line = strings.ReplaceAll(line, " "+dir, " "+filepath.Join(s.dir, dir))
	}
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = filepath.Join(s.dir, s.workdir)
	cmd.Env = os.Environ()
	for name, value := range s.vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("RUN %s: %v\n%s", line, err, out)
	}
}

// copyContext copies the context, without what .dockerignore names.
func copyContext(to, from string) error {
	text, err := os.ReadFile(filepath.Join(from, ".dockerignore"))
	if err != nil {
		return err
	}
	ignored := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		ignored[strings.TrimSpace(line)] = true
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case ignored[relative] || ignored["**/"+entry.Name()]:
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return copyFile(target, path, info.Mode())
	})
}

func copyFile(to, from string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode.Perm())
}
