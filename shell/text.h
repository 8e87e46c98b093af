/* Memory and text. What a command needs grows from below and goes with it; what stays grows from above. */

enum { HEAP = 16 << 20, CANNOT = 2 };

struct text { char *at; size length, room; };

static char heap[HEAP];
static size used, kept = HEAP;
static const char *me = "sh"; /* Who speaks in complaints: the shell, or one of its commands. */
static int mistaken;          /* Whether the command was called wrongly: it ends with 2. */

static void fail(const char *what, const char *detail) __attribute__((noreturn));
static int flush(void);

static size length(const char *text) {
  size count = 0;
  while (text[count]) count++;
  return count;
}

static int same(const char *one, const char *other) {
  while (*one && *one == *other) one++, other++;
  return (unsigned char)*one - (unsigned char)*other;
}

static void complain(const char *what, const char *detail) {
  const char *parts[] = {me, ": ", what, detail ? ": " : "", detail ? detail : "", "\n"};
  for (int i = 0; i < 6; i++) call3(SYS_write, 2, parts[i], length(parts[i]));
}

static void *memory(size count) {
  count = (count + 15) & ~15UL;
  if (used + count > kept) fail("out of memory", 0);
  char *place = heap + used;
  used += count;
  for (size i = 0; i < count; i++) place[i] = 0;
  return place;
}

static char *copy(const char *from, size count) {
  char *text = memory(count + 1);
  for (size i = 0; i < count; i++) text[i] = from[i];
  return text;
}

static char *keep(const char *text) {
  size count = length(text) + 1;
  if (used + count > kept) fail("out of memory", 0);
  kept -= count;
  for (size i = 0; i < count; i++) heap[kept + i] = text[i];
  return heap + kept;
}

static void add(struct text *text, char letter) {
  if (text->length + 1 >= text->room) {
    char *before = text->at;
    text->room = text->room * 2 + 48;
    text->at = memory(text->room);
    for (size i = 0; i < text->length; i++) text->at[i] = before[i];
  }
  text->at[text->length++] = letter;
  text->at[text->length] = 0;
}

static void add_all(struct text *text, const char *from) {
  while (*from) add(text, *from++);
}

static char *number(word value) {
  char *text = memory(24) + 23;
  unsigned long rest = value < 0 ? -value : value;
  do *--text = '0' + rest % 10; while (rest /= 10);
  if (value < 0) *--text = '-';
  return text;
}

static int is_digit(char letter) { return letter >= '0' && letter <= '9'; }
static int is_name(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_';
}
static int is_blank(char letter) { return letter == ' ' || letter == '\t' || letter == '\n'; }
static int is_in(char letter, const char *set) {
  while (*set && *set != letter) set++;
  return *set != 0;
}

/* A command that was called wrongly; it ends with 2. */
static int wrong(const char *what, const char *detail) {
  flush();
  complain(what, detail);
  mistaken = 1;
  return CANNOT;
}

static word integer(const char *text) {
  word value = 0;
  int minus = *text == '-';
  const char *from = text += minus;
  while (is_digit(*text)) value = value * 10 + (*text++ - '0');
  if (*text || text == from) wrong("not a number", from);
  return minus ? -value : value;
}

static char printed[4096];
static size waiting;

static int flush(void) {
  size from = 0;
  while (from < waiting) {
    word count = call3(SYS_write, 1, printed + from, waiting - from);
    if (count < 0 && count != -EINTR) break;
    if (count > 0) from += count;
  }
  int done = from == waiting;
  waiting = 0;
  return done ? 0 : 1;
}

static void print(const char *text) {
  for (; *text; text++) {
    if (waiting == sizeof printed) flush();
    printed[waiting++] = *text;
  }
}

static char *last_part(const char *path) {
  const char *from = path;
  for (; *path; path++) if (*path == '/' && path[1]) from = path + 1;
  size count = length(from);
  while (count > 1 && from[count - 1] == '/') count--;
  return copy(from, count);
}
