import ts from 'typescript';

/** The name of the counters in the instrumented code; no code of ours uses it. */
const COUNTERS = '$branches';

interface Insertion {
  readonly at: number;
  readonly text: string;
}

/**
 * Instruments JavaScript so that it counts which of its branches are taken: function bodies, the arms of
 * `if`, `?:`, loops, `switch` and `catch`, and the right sides of `&&`, `||` and `??`. All lines stay in
 * place, so that stack traces remain correct.
 *
 * At its start the code calls `globalThis.countersFor(branches)` for one counter byte per branch.
 */
export function countBranches(source: string): string {
  const file = ts.createSourceFile('module.js', source, ts.ScriptTarget.ES2022, false, ts.ScriptKind.JS);
  // At the same position, outer insertions start before inner ones and end after them; a walk finds them in
  // this order.
  const insertions: Insertion[] = [];
  let branches = 0;
  const count = (): string => `${COUNTERS}[${branches++}]++`;
  const into = (at: number): void => {
    insertions.push({ at, text: `${count()};` });
  };
  const around = (node: ts.Node, open: string, close: string): void => {
    insertions.push({ at: node.getStart(file), text: open });
    visit(node);
    insertions.push({ at: node.end, text: close });
  };
  const expression = (node: ts.Expression): void => around(node, `(${count()},`, ')');
  const statement = (node: ts.Statement): void =>
    ts.isBlock(node) ? visit(node) : around(node, `{${count()};`, '}');

  function visit(node: ts.Node): void {
    if (ts.isBlock(node)) {
      into(node.getStart(file) + 1);
    } else if (ts.isIfStatement(node)) {
      visit(node.expression);
      statement(node.thenStatement);
      if (node.elseStatement !== undefined) statement(node.elseStatement);
      return;
    } else if (ts.isConditionalExpression(node)) {
      visit(node.condition);
      expression(node.whenTrue);
      expression(node.whenFalse);
      return;
    } else if (ts.isBinaryExpression(node) && isChoice(node.operatorToken.kind)) {
      visit(node.left);
      expression(node.right);
      return;
    } else if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) {
      for (const parameter of node.parameters) visit(parameter);
      expression(node.body);
      return;
    } else if (ts.isCaseOrDefaultClause(node) && node.statements.length > 0) {
      into(node.statements.pos);
    }
    ts.forEachChild(node, visit);
  }

  visit(file);
  if (branches === 0) return source;
  // The ends of inner parts were found before those of outer parts; the sort keeps that order.
  insertions.sort((a, b) => a.at - b.at);
  let out = `const ${COUNTERS}=globalThis.countersFor(${branches});`;
  let from = 0;
  for (const { at, text } of insertions) {
    out += source.slice(from, at) + text;
    from = at;
  }
  return out + source.slice(from);
}

function isChoice(kind: ts.SyntaxKind): boolean {
  return (
    kind === ts.SyntaxKind.AmpersandAmpersandToken ||
    kind === ts.SyntaxKind.BarBarToken ||
    kind === ts.SyntaxKind.QuestionQuestionToken
  );
}
