package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages of all commands",
		Long: "man writes a page for each command to a folder that is there, for man(1). Their date is that\n" +
			"of $SOURCE_DATE_EPOCH where it is set, else today.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true // a line that names the day
			b := buildInfo()
			err := doc.GenManTree(root, &doc.GenManHeader{Title: "RESPGATE", Section: "1", Source: "respgate " + b.Version, Manual: "respgate manual"}, args[0])
			if err != nil {
				return fileError("DIR", args[0], err)
			}
			return a.done("written", args[0])
		},
	}
}
