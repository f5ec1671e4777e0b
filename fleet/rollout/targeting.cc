#include "fleet/rollout/targeting.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/rollout/glob_pattern.h"
#include "fleet/rollout/target_tokens.h"

namespace tandem::fleet {
namespace {

constexpr std::string_view kAttributes =
    "the attributes are unit_id, hardware, group, customer, region, site and tag.NAME";
constexpr std::string_view kOperators = "compare with ==, !=, =~ or in [\"a\", \"b\"]";
constexpr std::string_view kTagPrefix = "tag.";

struct UnitAttribute {
  std::string UnitAttributes::*field = nullptr;  // null: the tag
  std::string tag;

  const std::string* Find(const UnitAttributes& unit) const {
    if (field != nullptr) return &(unit.*field);
    const auto it = unit.tags.find(tag);
    return it == unit.tags.end() ? nullptr : &it->second;
  }
};

constexpr std::pair<std::string_view, std::string UnitAttributes::*> kFields[] = {
    {"unit_id", &UnitAttributes::unit_id},   {"hardware", &UnitAttributes::hardware}, {"group", &UnitAttributes::group},
    {"customer", &UnitAttributes::customer}, {"region", &UnitAttributes::region},     {"site", &UnitAttributes::site},
};

std::optional<UnitAttribute> FindAttribute(std::string_view word) {
  for (const auto& [name, field] : kFields) {
    if (word == name) return UnitAttribute{field, ""};
  }
  if (!word.starts_with(kTagPrefix) || word.size() == kTagPrefix.size()) return std::nullopt;
  return UnitAttribute{nullptr, std::string(word.substr(kTagPrefix.size()))};
}

struct Node {
  enum class Kind { kAll, kAny, kNot, kOneOf, kPattern, kHas };
  Kind kind = Kind::kAll;
  std::vector<Node> operands;      // kAll, kAny: any number; kNot: one
  UnitAttribute attribute;         // kOneOf, kPattern, kHas
  std::vector<std::string> texts;  // kOneOf
  std::optional<GlobPattern> pattern;

  bool Holds(const UnitAttributes& unit) const {
    const auto holds = [&](const Node& node) { return node.Holds(unit); };
    switch (kind) {
      case Kind::kAll:
        return std::ranges::all_of(operands, holds);
      case Kind::kAny:
        return std::ranges::any_of(operands, holds);
      case Kind::kNot:
        return !operands.front().Holds(unit);
      default:
        return Compares(attribute.Find(unit));
    }
  }

  bool Compares(const std::string* value) const {
    // has(): a tag that is there, even empty; an attribute that is not empty.
    if (kind == Kind::kHas) return value != nullptr && (attribute.field == nullptr || !value->empty());
    const std::string_view text = value != nullptr ? std::string_view(*value) : std::string_view();
    return kind == Kind::kPattern ? pattern->Matches(text) : std::ranges::find(texts, text) != texts.end();
  }
};

Node NodeOf(Node::Kind kind) {
  Node node;
  node.kind = kind;
  return node;
}

Node Not(Node node) {
  Node negation = NodeOf(Node::Kind::kNot);
  negation.operands.push_back(std::move(node));
  return negation;
}

}  // namespace

struct TargetExpression::Program {
  std::string text;
  Node root;
};

// Recursive descent, one function per rule of the grammar in the header; `token_` is the next one, not yet used.
class TargetParser {
 public:
  static absl::StatusOr<TargetExpression> Run(std::string_view text) {
    TargetParser parser(text);
    ASSIGN_OR_RETURN(Node root, parser.Whole());
    return TargetExpression(
        std::make_shared<TargetExpression::Program>(TargetExpression::Program{std::string(text), std::move(root)}));
  }

 private:
  explicit TargetParser(std::string_view text) : tokens_(text) {}

  absl::StatusOr<Node> Whole() {
    RETURN_IF_ERROR(Take());
    if (token_.kind == TargetToken::Kind::kEnd) return Node{};
    ASSIGN_OR_RETURN(Node root, Expression());
    if (token_.kind == TargetToken::Kind::kEnd) return root;
    return Expected("&&, || or the end", token_.IsSymbol(")") ? "remove this )" : "join two conditions with && or ||");
  }

  absl::StatusOr<Node> Expression() { return Chain(Node::Kind::kAny, "||", "or", &TargetParser::All); }
  absl::StatusOr<Node> All() { return Chain(Node::Kind::kAll, "&&", "and", &TargetParser::Factor); }

  absl::StatusOr<Node> Chain(Node::Kind kind, std::string_view symbol, std::string_view word,
                             absl::StatusOr<Node> (TargetParser::*operand)()) {
    ASSIGN_OR_RETURN(Node first, (this->*operand)());
    if (!token_.IsSymbol(symbol) && !token_.IsWord(word)) return first;
    Node chain = NodeOf(kind);
    chain.operands.push_back(std::move(first));
    while (token_.IsSymbol(symbol) || token_.IsWord(word)) {
      RETURN_IF_ERROR(Take());
      ASSIGN_OR_RETURN(Node next, (this->*operand)());
      chain.operands.push_back(std::move(next));
    }
    return chain;
  }

  absl::StatusOr<Node> Factor() {
    const bool negation = token_.IsSymbol("!") || token_.IsWord("not");
    if (!negation && !token_.IsSymbol("(")) return token_.IsWord("has") ? Has() : Comparison();
    if (++depth_ > kMaxTargetDepth) {
      return Expected(absl::StrCat("at most ", kMaxTargetDepth, " parentheses and negations inside each other"),
                      "make the expression flatter");
    }
    RETURN_IF_ERROR(Take());
    absl::StatusOr<Node> node = negation ? Factor() : Expression();
    RETURN_IF_ERROR(node.status());
    --depth_;
    if (negation) return Not(*std::move(node));
    RETURN_IF_ERROR(TakeSymbol(")", "close the ( before, or join conditions with && or ||"));
    return node;
  }

  absl::StatusOr<Node> Has() {
    RETURN_IF_ERROR(Count());
    RETURN_IF_ERROR(Take());
    RETURN_IF_ERROR(TakeSymbol("(", "write has(tag.NAME)"));
    Node node = NodeOf(Node::Kind::kHas);
    ASSIGN_OR_RETURN(node.attribute, TakeAttribute());
    RETURN_IF_ERROR(TakeSymbol(")", "write has(tag.NAME)"));
    return node;
  }

  absl::StatusOr<Node> Comparison() {
    Node node = NodeOf(Node::Kind::kOneOf);
    ASSIGN_OR_RETURN(node.attribute, TakeAttribute());
    const TargetToken comparison = token_;
    if (comparison.IsWord("in")) {
      RETURN_IF_ERROR(Take());
      RETURN_IF_ERROR(List(node));
      return node;
    }
    if (!comparison.IsSymbol("==") && !comparison.IsSymbol("!=") && !comparison.IsSymbol("=~")) {
      return Expected("==, !=, =~ or in", kOperators);
    }
    RETURN_IF_ERROR(Take());
    if (comparison.IsSymbol("=~")) return Pattern(std::move(node));
    RETURN_IF_ERROR(Text(node));
    if (comparison.IsSymbol("!=")) return Not(std::move(node));
    return node;
  }

  absl::StatusOr<Node> Pattern(Node node) {
    const size_t position = token_.position;
    RETURN_IF_ERROR(Text(node));
    node.kind = Node::Kind::kPattern;
    node.pattern = GlobPattern::Make(node.texts.front());
    if (node.pattern.has_value()) return node;
    return TargetError(position, absl::StrCat("a pattern of at most ", kMaxPatternLength, " bytes besides *"),
                       "a longer one", "shorten it, or list the texts with in [...]");
  }

  absl::Status List(Node& node) {
    RETURN_IF_ERROR(TakeSymbol("[", "write the list as [\"a\", \"b\"]"));
    RETURN_IF_ERROR(Text(node));
    while (token_.IsSymbol(",")) {
      RETURN_IF_ERROR(Take());
      RETURN_IF_ERROR(Text(node));
    }
    return TakeSymbol("]", "separate texts with , and close the list with ]");
  }

  absl::Status Text(Node& node) {
    if (token_.kind != TargetToken::Kind::kText) {
      return Expected("a text in double quotes", token_.kind == TargetToken::Kind::kWord
                                                     ? absl::StrCat("write \"", token_.text.substr(0, 40), "\"")
                                                     : std::string("write it as \"eu\""));
    }
    RETURN_IF_ERROR(Count());
    node.texts.push_back(std::move(token_.text));
    return Take();
  }

  absl::StatusOr<UnitAttribute> TakeAttribute() {
    std::optional<UnitAttribute> attribute;
    if (token_.kind == TargetToken::Kind::kWord) attribute = FindAttribute(token_.text);
    if (!attribute.has_value()) return Expected("an attribute", kAttributes);
    RETURN_IF_ERROR(Take());
    return *std::move(attribute);
  }

  absl::Status Count() {
    if (++texts_ <= kMaxTargetTexts) return absl::OkStatus();
    return Expected(absl::StrCat("at most ", kMaxTargetTexts, " texts and has()"),
                    "give these units a common tag, and compare with that");
  }

  absl::Status TakeSymbol(std::string_view symbol, std::string_view mend) {
    if (!token_.IsSymbol(symbol)) return Expected(symbol, mend);
    return Take();
  }

  absl::Status Take() {
    ASSIGN_OR_RETURN(token_, tokens_.Next());
    return absl::OkStatus();
  }

  absl::Status Expected(std::string_view what, std::string_view mend) const {
    return TargetError(token_.position, what, Describe(token_), mend);
  }

  TargetTokens tokens_;
  TargetToken token_;
  int depth_ = 0;
  int texts_ = 0;
};

TargetExpression::TargetExpression() : program_(std::make_shared<Program>()) {}
TargetExpression::TargetExpression(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

absl::StatusOr<TargetExpression> TargetExpression::Parse(std::string_view text) {
  if (text.size() > kMaxTargetBytes) {
    return TargetError(kMaxTargetBytes, "the end", absl::StrCat("a text of ", text.size(), " bytes"),
                       "give these units a common tag, and compare with that");
  }
  return TargetParser::Run(text);
}

bool TargetExpression::Matches(const UnitAttributes& unit) const { return program_->root.Holds(unit); }

const std::string& TargetExpression::text() const { return program_->text; }

}  // namespace tandem::fleet
