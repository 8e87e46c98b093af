/* What runs now: its state, other processes, signals, variables. */

struct node;
struct variable { char *name, *value; size room; struct variable *next; };

static int status, substituted; /* Of the last command; of the last $(...). */
static int stop_on_error, stop_on_unset, trace, forgiving;
static word shell_process, background;
static int argument_count;
static char **arguments;
static struct variable *variables;
static char *traps[16];
static unsigned long blocked;

static void quit(int status) __attribute__((noreturn));
static struct node *parse(const char *source);
static int run(struct node *node);

static void mask(int how, unsigned long signals) { call(SYS_sigmask, how, (word)&signals, 0, 8, 0); }

static void quit(int code) {
  char *last = traps[0];
  if (last) {
    traps[0] = 0;
    run(parse(last));
  }
  flush();
  for (;;) call3(SYS_exit, code & 255, 0, 0);
}

static void fail(const char *what, const char *detail) {
  flush();
  complain(what, detail);
  call3(SYS_exit, CANNOT, 0, 0);
  for (;;) ;
}

static word split_off(void) {
  flush();
  word process = call(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (process < 0) fail("cannot start a process", 0);
  if (process) return process;
  for (int i = 0; i < 16; i++) traps[i] = 0;
  mask(1, blocked);
  blocked = 0;
  return 0;
}

static int wait_for(word process) {
  int how = 0;
  while (call(SYS_wait4, process, (word)&how, 0, 0, 0) == -EINTR) ;
  return how & 127 ? 128 + (how & 127) : how >> 8 & 255;
}

static void take_signal(word signal) {
  if (signal <= 0 || signal >= 16) return;
  if (!traps[signal]) quit(128 + signal);
  int before = status;
  run(parse(traps[signal]));
  status = before;
}

/* Waits for one of our signals, for as long as is given; 0 for ever. Says whether the time is over. */
static int rest(struct timespec *time, unsigned long also) {
  unsigned long signals = blocked | also;
  word signal = call(SYS_sigwait, (word)&signals, 0, (word)time, 8, 0);
  if (signal == -EINTR) return 0;
  take_signal(signal);
  return signal < 0;
}

static void look_for_signals(void) {
  struct timespec none = {0, 0};
  if (blocked) rest(&none, 0);
}

static struct variable *find(const char *name, size count) {
  struct variable *one = variables;
  for (; one; one = one->next) {
    size i = 0;
    while (i < count && one->name[i] == name[i]) i++;
    if (i == count && !one->name[i]) break;
  }
  return one;
}

static void assign(const char *name, size count, const char *value) {
  struct variable *one = find(name, count);
  if (!one) {
    kept = (kept - sizeof *one) & ~15UL;
    one = (void *)(heap + kept);
    one->name = keep(copy(name, count));
    one->next = variables;
    one->value = 0, one->room = 0;
    variables = one;
  }
  size count_of_value = length(value) + 1;
  if (one->room >= count_of_value) { /* What changes in a long loop must not fill the heap. */
    for (char *to = one->value; (*to++ = *value++);) ;
  } else {
    one->value = keep(value), one->room = count_of_value;
  }
}

static size name_length(const char *text) {
  size count = 0;
  if (is_name(*text))
    while (is_name(text[count]) || is_digit(text[count])) count++;
  return count;
}
