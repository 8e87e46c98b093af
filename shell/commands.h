/* The commands that are built into the shell. */

struct command { const char *name; int (*run)(int count, char **words); };

static int refused(const char *what, word error) {
  static const char *const reasons[] = {[2] = "no such file or directory", [13] = "permission denied",
    [17] = "it exists", [20] = "not a directory", [21] = "is a directory", [28] = "no space left",
    [30] = "read-only file system", [39] = "directory not empty"};
  const char *why = -error < 40 ? reasons[-error] : 0;
  flush();
  complain(what, why ? why : number(error));
  return 1;
}

static char options[8];

/* Takes the options of a command, each a letter of those allowed; returns the place of the first other word. */
static int take_options(int count, char **words, const char *allowed) {
  int i = 1, found = 0;
  options[0] = 0;
  for (; i < count && *words[i] == '-' && words[i][1]; i++) {
    if (!same(words[i], "--")) { i++; break; }
    for (char *letter = words[i] + 1; *letter; letter++) {
      if (!is_in(*letter, allowed)) wrong("unknown option", words[i]);
      if (found < 7 && !is_in(*letter, options)) options[found++] = *letter;
      options[found] = 0;
    }
  }
  options[found] = 0;
  return i;
}

static word look_at(const char *path, struct statx *facts, int follow) {
  return call(SYS_statx, AT_FDCWD, (word)path, follow ? 0 : 0x100, 0x7ff, (word)facts);
}

static int is_directory(const char *path, int follow) {
  struct statx facts;
  return look_at(path, &facts, follow) == 0 && (facts.mode & 0170000) == 0040000;
}

static int run_true(int count, char **words) { return 0; }
static int run_false(int count, char **words) { return 1; }

static int run_echo(int count, char **words) {
  int i = 1, bare = count > 1 && !same(words[1], "-n");
  for (i += bare; i < count; i++) {
    print(words[i]);
    if (i + 1 < count) print(" ");
  }
  if (!bare) print("\n");
  return 0;
}

/* ---- test ---- */

static char **operand, **last_operand;

static int compare(const char *one, const char *operator, const char *other) {
  if (!same(operator, "=") || !same(operator, "==")) return !same(one, other);
  if (!same(operator, "!=")) return !!same(one, other);
  word left = integer(one), right = integer(other);
  char first = operator[1], second = operator[2];
  if (first == 'e') return left == right;
  if (first == 'n') return left != right;
  if (first == 'l') return second == 't' ? left < right : left <= right;
  return second == 't' ? left > right : left >= right;
}

static int is_binary(const char *text) {
  static const char *const operators[] = {"=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", 0};
  for (const char *const *one = operators; *one; one++) if (!same(*one, text)) return 1;
  return 0;
}

static int test_file(char what, const char *path) {
  struct statx facts;
  if (what == 'n') return *path != 0;
  if (what == 'z') return *path == 0;
  if (is_in(what, "rwx")) {
    int how = what == 'r' ? 4 : what == 'w' ? 2 : 1;
    return call3(SYS_access, AT_FDCWD, path, how) == 0;
  }
  if (look_at(path, &facts, !is_in(what, "hL"))) return 0;
  unsigned kind = facts.mode & 0170000;
  if (what == 'd') return kind == 0040000;
  if (what == 'f') return kind == 0100000;
  if (what == 's') return facts.bytes > 0;
  return what == 'e' || kind == 0120000;
}

static int test_or(void);

static int test_one(void) {
  if (operand >= last_operand) return wrong("argument expected", 0);
  size left = last_operand - operand;
  char *word = *operand;
  if (left > 2 && is_binary(operand[1])) {
    operand += 3;
    return compare(word, operand[-2], operand[-1]);
  }
  if (left > 1 && !same(word, "!")) {
    operand++;
    return !test_one();
  }
  if (left > 2 && !same(word, "(")) {
    operand++;
    int result = test_or();
    if (operand == last_operand || same(*operand++, ")")) return wrong("missing", ")");
    return result;
  }
  if (left > 1 && *word == '-' && is_in(word[1], "defhLnzrwxs") && word[1] && !word[2]) {
    operand += 2;
    return test_file(word[1], operand[-1]);
  }
  operand++;
  return *word != 0;
}

static int test_and(void) {
  int result = test_one();
  while (operand < last_operand && !same(*operand, "-a")) operand++, result &= test_one();
  return result;
}

static int test_or(void) {
  int result = test_and();
  while (operand < last_operand && !same(*operand, "-o")) operand++, result |= test_and();
  return result;
}

static int run_test(int count, char **words) {
  if (**words == '[') {
    if (same(words[count - 1], "]")) return wrong("missing", "]");
    count--;
  }
  if (count == 1) return 1;
  operand = words + 1, last_operand = words + count;
  int result = test_or();
  if (operand < last_operand) return wrong("unexpected", *operand);
  return !result;
}

/* ---- files ---- */

static char *joined(const char *directory, const char *name) {
  struct text path = {0};
  add_all(&path, directory);
  if (!path.length || path.at[path.length - 1] != '/') add(&path, '/');
  add_all(&path, name);
  return path.at;
}

/* Names of a directory's entries, sorted, without . and .. . */
static char **names_in(const char *directory, size *count) {
  char some[2048];
  struct word_list *all = 0;
  *count = 0;
  word file = call(SYS_openat, AT_FDCWD, (word)directory, O_DIRECTORY, 0, 0);
  if (file < 0) return 0;
  for (word got; (got = call3(SYS_getdents64, file, some, sizeof some)) > 0;)
    for (word i = 0; i < got;) {
      struct entry *entry = (void *)(some + i);
      i += entry->length;
      if (!same(entry->name, ".") || !same(entry->name, "..")) continue;
      struct word_list *one = memory(sizeof *one);
      one->raw = copy(entry->name, length(entry->name)), one->next = all;
      all = one;
      ++*count;
    }
  call3(SYS_close, file, 0, 0);
  char **names = memory((*count + 1) * sizeof *names);
  for (size i = 0; all; all = all->next, i++) {
    size to = i;
    for (; to && same(names[to - 1], all->raw) > 0; to--) names[to] = names[to - 1];
    names[to] = all->raw;
  }
  return names;
}

static void print_entry(const char *path, const char *name) {
  struct statx facts;
  if (is_in('l', options) && look_at(path, &facts, 0) == 0) {
    char mode[] = "?rwxrwxrwx ";
    unsigned kind = facts.mode >> 12;
    mode[0] = kind == 4 ? 'd' : kind == 10 ? 'l' : kind == 8 ? '-' : '?';
    for (int i = 0; i < 9; i++) if (!(facts.mode >> (8 - i) & 1)) mode[1 + i] = '-';
    print(mode);
    print(number(facts.uid)), print(" "), print(number(facts.gid)), print(" ");
    print(number(facts.bytes)), print(" ");
  }
  print(name), print("\n");
}

static int list(const char *path, int with_name) {
  size count;
  struct statx facts;
  word error = look_at(path, &facts, 0);
  if (error) return refused(path, error);
  if (!is_directory(path, !is_in('l', options))) {
    print_entry(path, path);
    return 0;
  }
  char **names = names_in(path, &count);
  if (!names) return refused(path, -13);
  if (with_name) print(path), print(":\n");
  for (size i = 0; i < count; i++)
    if (*names[i] != '.' || is_in('a', options) || is_in('A', options)) print_entry(joined(path, names[i]), names[i]);
  return 0;
}

static int run_ls(int count, char **words) {
  int i = take_options(count, words, "aAl1"), result = 0, several = count - i > 1;
  if (i == count) return list(".", 0);
  for (; i < count; i++) result |= list(words[i], several);
  return result;
}

static int make_directory(char *path, int parents) {
  if (parents)
    for (char *letter = path + 1; *letter; letter++) {
      if (*letter != '/') continue;
      *letter = 0;
      int failed = !is_directory(path, 1) && make_directory(path, 0);
      *letter = '/';
      if (failed) return 1;
    }
  word error = call3(SYS_mkdirat, AT_FDCWD, path, 0777);
  if (!error || (parents && is_directory(path, 1))) return 0;
  return refused(path, error);
}

static int run_mkdir(int count, char **words) {
  int i = take_options(count, words, "p"), parents = is_in('p', options), result = i == count;
  for (; i < count; i++) result |= make_directory(words[i], parents);
  return result;
}

static int run_rm(int count, char **words) {
  int i = take_options(count, words, "f"), result = 0;
  for (; i < count; i++) {
    word error = call3(SYS_unlinkat, AT_FDCWD, words[i], 0);
    if (error && !(error == -2 && is_in('f', options))) result = refused(words[i], error);
  }
  return result;
}

static word make_link(const char *target, const char *name) {
  if (is_in('s', options)) return call3(SYS_symlinkat, target, AT_FDCWD, name);
  return call(SYS_linkat, AT_FDCWD, (word)target, AT_FDCWD, (word)name, 0);
}

/* A link in the way is replaced at once, never followed as elsewhere: after a restart, the last one's still leads into a model,
   and would get the new one put into it. */
static int run_ln(int count, char **words) {
  int i = take_options(count, words, "sfnT");
  if (count - i != 2) return wrong("wants a target and a name", 0);
  char *target = words[i], *name = words[i + 1];
  if (is_directory(name, 0) && !is_in('T', options)) name = joined(name, last_part(target));
  word error = make_link(target, name);
  if (error == -EEXIST && is_in('f', options)) {
    struct text beside = {0};
    add_all(&beside, name), add_all(&beside, number(shell_process));
    error = make_link(target, beside.at);
    if (!error) error = call(SYS_renameat, AT_FDCWD, (word)beside.at, AT_FDCWD, (word)name, 0);
  }
  return error ? refused(name, error) : 0;
}

static int run_cat(int count, char **words) {
  char some[16384];
  int result = 0, none = count == 1;
  for (int i = none ? 0 : 1; i < count; i++) {
    word file = none || !same(words[i], "-") ? 0 : call(SYS_openat, AT_FDCWD, (word)words[i], 0, 0, 0);
    if (file < 0) {
      result = refused(words[i], file);
      continue;
    }
    word got;
    while ((got = call3(SYS_read, file, some, sizeof some)) > 0)
      for (word from = 0, sent; from < got; from += sent) {
        sent = call3(SYS_write, 1, some + from, got - from);
        if (sent < 0) return refused("output", sent);
      }
    if (got < 0) result = refused(words[i], got);
    if (file > 0) call3(SYS_close, file, 0, 0);
  }
  return result;
}

static int run_touch(int count, char **words) {
  int result = 0;
  for (int i = 1; i < count; i++) {
    word file = call(SYS_openat, AT_FDCWD, (word)words[i], O_CREAT | 1, 0666, 0);
    if (file < 0) result = refused(words[i], file);
    else call3(SYS_close, file, 0, 0);
  }
  return result;
}

/* ---- of the shell itself ---- */

static int run_sleep(int count, char **words) {
  struct timespec time = {0, 0};
  int for_ever = 0;
  if (count == 1) return wrong("wants a number of seconds", 0);
  for (int i = 1; i < count; i++) {
    char *text = words[i];
    if (!same(text, "infinity") || !same(text, "inf")) {
      for_ever = 1;
      continue;
    }
    size whole = 0;
    while (is_digit(text[whole])) whole++;
    word seconds = whole ? integer(copy(text, whole)) : 0, billionths = 0, part = 100000000;
    text += whole;
    if (*text == '.') for (text++; is_digit(*text); part /= 10) billionths += (*text++ - '0') * part, whole++;
    word unit = *text == 'm' ? 60 : *text == 'h' ? 3600 : *text == 'd' ? 86400 : 1;
    if (!whole || (*text && (text[1] || !is_in(*text, "smhd")))) return wrong("not a time", words[i]);
    time.seconds += seconds * unit + billionths * unit / 1000000000;
    time.nanoseconds += billionths * unit % 1000000000;
  }
  time.seconds += time.nanoseconds / 1000000000, time.nanoseconds %= 1000000000;
  flush();
  while (!rest(for_ever ? 0 : &time, 0) && for_ever) ;
  return 0;
}

static int run_exit(int count, char **words) {
  quit(count > 1 ? integer(words[1]) : status);
}

static int run_wait(int count, char **words) {
  int how = 0;
  word wanted = count > 1 ? integer(words[1]) : -1, got;
  struct timespec second = {1, 0};
  mask(0, 1UL << (SIGCHLD - 1));
  while ((got = call(SYS_wait4, wanted, (word)&how, WNOHANG, 0, 0)) >= 0)
    if (got == 0) rest(&second, 1UL << (SIGCHLD - 1));
    else if (wanted > 0) break;
  mask(1, 1UL << (SIGCHLD - 1));
  if (wanted < 0) return 0;
  return got < 0 ? 127 : how & 127 ? 128 + (how & 127) : how >> 8 & 255;
}

static int signal_number(const char *name) {
  static const struct { const char *name; int number; } all[] = {
    {"EXIT", 0}, {"HUP", 1}, {"INT", 2}, {"QUIT", 3}, {"KILL", 9}, {"TERM", 15}, {0, 0}};
  if (is_digit(*name)) return integer(name);
  if (name[0] == 'S' && name[1] == 'I' && name[2] == 'G') name += 3;
  for (int i = 0; all[i].name; i++) if (!same(all[i].name, name)) return all[i].number;
  return wrong("no such signal", name), 0;
}

static int run_trap(int count, char **words) {
  for (int i = 2; i < count; i++) {
    int signal = signal_number(words[i]);
    if (signal > 15) return wrong("no such signal", words[i]);
    traps[signal] = same(words[1], "-") ? keep(words[1]) : 0;
    if (!signal) continue;
    unsigned long bit = 1UL << (signal - 1);
    if (traps[signal]) blocked |= bit, mask(0, bit);
    else if (shell_process != 1) blocked &= ~bit, mask(1, bit);
  }
  return 0;
}

static int run_set(int count, char **words) {
  for (int i = 1; i < count; i++) {
    int on = *words[i] == '-';
    if (!on && *words[i] != '+') return wrong("unknown option", words[i]);
    for (char *letter = words[i] + 1; *letter; letter++) {
      if (*letter == 'e') stop_on_error = on;
      else if (*letter == 'u') stop_on_unset = on;
      else if (*letter == 'x') trace = on;
      else return wrong("unknown option", words[i]);
    }
  }
  return 0;
}

static const struct command commands[] = {
  {":", run_true}, {"[", run_test}, {"cat", run_cat}, {"echo", run_echo}, {"exit", run_exit}, {"false", run_false}, {"ln", run_ln}, {"ls", run_ls}, {"mkdir", run_mkdir},
  {"rm", run_rm}, {"set", run_set}, {"sleep", run_sleep}, {"test", run_test}, {"touch", run_touch}, {"trap", run_trap}, {"true", run_true},
  {"wait", run_wait}, {0, 0}};
