/* Reads a script into a tree. What this shell does not know is refused here, before anything runs. */

enum { END, NEWLINE, WORD, AND_IF, OR_IF, REDIRECTION };
enum { SIMPLE, SEQUENCE, AND, OR, NOT, BACKGROUND, SUBSHELL, GROUP, IF, WHILE, UNTIL, FOR };

struct word_list { char *raw; struct word_list *next; };
struct redirection { int fd; char kind; char *raw; struct redirection *next; };
struct node {
  int kind;
  struct node *left, *right, *otherwise;
  struct word_list *assignments, *words;
  struct redirection *redirections;
  char *name;
};

static const char *at;
static int token, token_fd;
static char *token_text;

static void unsupported(const char *what) __attribute__((noreturn));
static void unsupported(const char *what) { fail("this small shell does not know", what); }
static void unexpected(void) __attribute__((noreturn));
static void unexpected(void) { fail("syntax error at", *at ? at : "the end"); }

/* Returns what is behind the end of quotes or brackets, from behind their opening. */
static const char *past(const char *from, char closing) {
  for (; *from != closing; from++) {
    if (!*from) fail("syntax error: not closed", at);
    if (closing == '\'') continue;
    if (*from == '\\' && from[1]) from++;
    else if (*from == '\'' && closing != '"') from = past(from + 1, '\'') - 1;
    else if (*from == '"' && closing != '"') from = past(from + 1, '"') - 1;
    else if (*from == '$' && from[1] == '(') from = past(from + 2, ')') - 1;
    else if (*from == '$' && from[1] == '{') from = past(from + 2, '}') - 1;
    else if (*from == '(' && closing == ')') from = past(from + 1, ')') - 1;
    else if (*from == '`') unsupported("`...`: write $(...)");
  }
  return from + 1;
}

static void read_word(void) {
  const char *from = at;
  while (*at && !is_in(*at, " \t\n;&|()<>")) {
    if (*at == '\\') at += at[1] ? 2 : 1;
    else if (*at == '\'' || *at == '"') at = past(at + 1, *at);
    else if (*at == '`') unsupported("`...`: write $(...)");
    else if (*at == '$' && at[1] == '(' && at[2] == '(') unsupported("$((...))");
    else if (*at == '$' && at[1] == '(') at = past(at + 2, ')');
    else if (*at == '$' && at[1] == '{') at = past(at + 2, '}');
    else if (is_in(*at, "*?")) unsupported("* and ? in names: name the files, or put it in quotes");
    else at += *at == '$' && at[1] && is_in(at[1], "$?#!") ? 2 : 1;
  }
  token = WORD;
  token_text = copy(from, at - from);
}

static void read_redirection(void) {
  token_fd = is_digit(*at) ? *at++ - '0' : *at == '>';
  token = REDIRECTION;
  token_text = copy(at, 1);
  if (*at == '<' && at[1] == '<') unsupported("<<");
  at++;
  if (at[-1] == '>' && *at == '>') *token_text = 'a', at++;
  else if (*at == '&') *token_text = '&', at++;
  else if (*at == '|') at++;
}

static void next(void) {
  while (*at == ' ' || *at == '\t' || (*at == '\\' && at[1] == '\n')) at += *at == '\\' ? 2 : 1;
  if (*at == '#') while (*at && *at != '\n') at++;
  if (*at == '<' || *at == '>' || (is_digit(*at) && (at[1] == '<' || at[1] == '>'))) {
    read_redirection();
  } else if (!*at) {
    token = END;
  } else if (is_in(*at, "\n;&|()")) {
    token = *at == '\n' ? NEWLINE : *at;
    if (is_in(*at, "&|") && at[1] == *at) token = *at++ == '&' ? AND_IF : OR_IF;
    at++;
  } else {
    read_word();
  }
}

static int is(const char *reserved) { return token == WORD && !same(token_text, reserved); }

static void want(const char *reserved) {
  if (!is(reserved)) unexpected();
  next();
}

static void skip_newlines(void) {
  while (token == NEWLINE) next();
}

static int is_closing(void) {
  return token == END || token == ')' || is("then") || is("elif") || is("else") || is("fi") || is("do") ||
         is("done") || is("}");
}

static struct node *new_node(int kind, struct node *left, struct node *right) {
  struct node *node = memory(sizeof *node);
  node->kind = kind, node->left = left, node->right = right;
  return node;
}

static void read_redirections(struct node *node) {
  struct redirection **last = &node->redirections;
  while (*last) last = &(*last)->next;
  while (token == REDIRECTION) {
    struct redirection *one = *last = memory(sizeof *one);
    one->fd = token_fd, one->kind = *token_text;
    next();
    if (token != WORD) unexpected();
    one->raw = token_text;
    last = &one->next;
    next();
  }
}

static struct node *read_list(int may_be_empty);

static struct node *read_if(void) {
  struct node *node = new_node(IF, read_list(0), 0);
  want("then");
  node->right = read_list(0);
  if (is("elif")) {
    next();
    node->otherwise = read_if();
    return node;
  }
  if (is("else")) {
    next();
    node->otherwise = read_list(0);
  }
  want("fi");
  return node;
}

static struct node *read_loop(int kind) {
  struct node *node = new_node(kind, 0, 0);
  if (kind == FOR) {
    if (token != WORD || token_text[name_length(token_text)]) unexpected();
    node->name = token_text;
    next();
    skip_newlines();
    want("in");
    struct word_list **last = &node->words;
    for (; token == WORD; next()) {
      *last = memory(sizeof **last);
      (*last)->raw = token_text;
      last = &(*last)->next;
    }
    if (token != ';' && token != NEWLINE) unexpected();
    next();
    skip_newlines();
  } else {
    node->left = read_list(0);
  }
  want("do");
  node->right = read_list(0);
  want("done");
  return node;
}

static struct node *read_simple(void) {
  struct node *node = new_node(SIMPLE, 0, 0);
  struct word_list **last = &node->words, **last_assignment = &node->assignments;
  for (; token == WORD || token == REDIRECTION;) {
    if (token == REDIRECTION) {
      read_redirections(node);
      continue;
    }
    size name = name_length(token_text);
    struct word_list *one = memory(sizeof *one);
    one->raw = token_text;
    if (!node->words && name && token_text[name] == '=') *last_assignment = one, last_assignment = &one->next;
    else *last = one, last = &one->next;
    next();
    if (token == '(') unsupported("functions");
  }
  if (!node->words && !node->assignments && !node->redirections) unexpected();
  return node;
}

static struct node *read_command(void) {
  struct node *node;
  if (token == '(') {
    next();
    node = new_node(SUBSHELL, read_list(0), 0);
    if (token != ')') unexpected();
    next();
  } else if (is("{")) {
    next();
    node = new_node(GROUP, read_list(0), 0);
    want("}");
  } else if (is("if")) {
    next();
    node = read_if();
  } else if (is("while") || is("until") || is("for")) {
    int kind = is("while") ? WHILE : is("until") ? UNTIL : FOR;
    next();
    node = read_loop(kind);
  } else {
    if (is("case") || is("function")) unsupported(token_text);
    if (is_closing()) unexpected();
    return read_simple();
  }
  read_redirections(node);
  return node;
}

static struct node *read_pipeline(void) {
  int negated = is("!");
  if (negated) next();
  struct node *node = read_command();
  if (token == '|') unsupported("|");
  return negated ? new_node(NOT, node, 0) : node;
}

static struct node *read_and_or(void) {
  struct node *node = read_pipeline();
  while (token == AND_IF || token == OR_IF) {
    int kind = token == AND_IF ? AND : OR;
    next();
    skip_newlines();
    node = new_node(kind, node, read_pipeline());
  }
  return node;
}

static struct node *read_list(int may_be_empty) {
  struct node *all = 0;
  for (skip_newlines(); !is_closing(); skip_newlines()) {
    struct node *one = read_and_or();
    if (token == '&') one = new_node(BACKGROUND, one, 0);
    all = all ? new_node(SEQUENCE, all, one) : one;
    if (token == ';' || token == '&' || token == NEWLINE) next();
    else if (!is_closing()) unexpected();
  }
  if (!all && !may_be_empty) unexpected();
  return all;
}

static struct node *parse(const char *source) {
  const char *before = at;
  int token_before = token;
  char *text_before = token_text;
  at = source;
  next();
  struct node *node = read_list(1);
  if (token != END) unexpected();
  at = before, token = token_before, token_text = text_before;
  return node;
}
