complete --keep-order --exclusive --command mlp --arguments "(COMPLETE=fish mlp -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
