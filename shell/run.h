/* Runs the tree of a script. */

enum { SAVED = 10 }; /* The first of the file descriptors under which redirected ones are kept. */

static int known(char **words, int count);
static int saves;

static int redirect(struct redirection *one) {
  for (; one; one = one->next) {
    char *name = value(one->raw);
    word from;
    flush();
    if (one->kind == '&') {
      from = same(name, "-") ? integer(name) : -1;
    } else {
      int how = one->kind == '<' ? 0 : O_CREAT | 1 | (one->kind == 'a' ? O_APPEND : O_TRUNC);
      from = call(SYS_openat, AT_FDCWD, (word)name, how, 0666, 0);
      if (from < 0) {
        complain("cannot open", name);
        return 1;
      }
    }
    if (one->fd < 3) call3(SYS_dup3, one->fd, SAVED + 3 * saves + one->fd, 02000000);
    if (from < 0) call3(SYS_close, one->fd, 0, 0);
    else if (from != one->fd && call3(SYS_dup3, from, one->fd, 0) < 0) {
      complain("no such file descriptor", name);
      return 1;
    }
    if (one->kind != '&' && from != one->fd) call3(SYS_close, from, 0, 0);
  }
  return 0;
}

static void undo(struct redirection *one) {
  flush();
  for (; one; one = one->next) {
    if (one->fd < 3 && call3(SYS_dup3, SAVED + 3 * saves + one->fd, one->fd, 0) >= 0)
      call3(SYS_close, SAVED + 3 * saves + one->fd, 0, 0);
  }
}

static void assign_all(struct word_list *one) {
  for (; one; one = one->next) {
    size name = name_length(one->raw);
    assign(one->raw, name, value(one->raw + name + 1));
  }
}

static void show(char **words) {
  struct text line = {0};
  for (add(&line, '+'); *words; words++) add(&line, ' '), add_all(&line, *words);
  add(&line, '\n');
  call3(SYS_write, 2, line.at, line.length);
}

static int run_simple(struct node *node) {
  int count, result = CANNOT;
  substituted = 0;
  char **words = fields(node->words, &count);
  int replaced = count > 1 && !same(*words, "exec");
  assign_all(node->assignments);
  if (trace && count) show(words);
  saves++;
  if (!redirect(node->redirections)) result = count ? known(words + replaced, count - replaced) : substituted;
  if (replaced) quit(result);
  undo(node->redirections);
  saves--;
  return result;
}

static int run_in_process(struct node *node) {
  word process = split_off();
  if (!process) quit(run(node));
  return wait_for(process);
}

static int test_quietly(struct node *node) {
  forgiving++;
  int result = run(node);
  forgiving--;
  return result;
}

static int run_loop(struct node *node) {
  int count = 0, result = 0;
  if (node->kind == FOR) {
    char **words = fields(node->words, &count);
    for (int i = 0; i < count; i++) {
      assign(node->name, length(node->name), words[i]);
      size before = used;
      result = run(node->right);
      used = before;
    }
    return result;
  }
  for (;;) {
    size before = used;
    int failed = test_quietly(node->left) != 0;
    used = before;
    if (failed == (node->kind == WHILE)) return result;
    result = run(node->right);
    used = before;
  }
}

static int run_compound(struct node *node) {
  int result = CANNOT;
  saves++;
  if (!redirect(node->redirections)) {
    if (node->kind == SUBSHELL) result = run_in_process(node->left);
    else if (node->kind == GROUP) result = run(node->left);
    else if (node->kind == IF) {
      int failed = test_quietly(node->left);
      result = !failed ? run(node->right) : node->otherwise ? run(node->otherwise) : 0;
    } else result = run_loop(node);
  }
  undo(node->redirections);
  saves--;
  return result;
}

static int run(struct node *node) {
  size before = used;
  if (!node) return status = 0;
  look_for_signals();
  int kind = node->kind, result;
  if (kind == SEQUENCE) {
    run(node->left);
    return run(node->right);
  } else if (kind == AND || kind == OR) {
    result = test_quietly(node->left);
    if ((result == 0) == (kind == AND)) result = run(node->right);
    return status = result;
  } else if (kind == NOT) {
    return status = !test_quietly(node->left);
  } else if (kind == BACKGROUND) {
    background = split_off();
    if (!background) quit(run(node->left));
    return status = 0;
  }
  result = kind == SIMPLE ? run_simple(node) : run_compound(node);
  status = result;
  used = before;
  if (result && stop_on_error && !forgiving && (kind == SIMPLE || kind == SUBSHELL))
    quit(result);
  return result;
}
