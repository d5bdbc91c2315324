/**
 * What is wrong with the text of an intent, as the one error that says it: the rule, the nearest form, an example.
 *
 * NOTE: the text itself is never repeated: it may come from anywhere, and the error goes into logs and models' contexts.
 */

import { InvalidRequest } from "../errors.js";

const ALIKE = 0.6;
const LONGEST_WORD = 64;

/** Returns the error for a text at `path` that breaks the rule. */
export function wrong(path: string, rule: string, more: { form?: string; example?: string } = {}): InvalidRequest {
  const form = more.form ? [`the form is ${more.form}`] : [];
  const example = more.example ? [`for example ${more.example}`] : [];
  return InvalidRequest.of(path, [rule, ...form, ...example].join("; "));
}

/** Returns the known word that is most like this one, if one is like it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const short = [...word].slice(0, LONGEST_WORD).join("");
  const scored = known.map((one) => ({ one, score: likeness(one, short) })).filter(({ score }) => score >= ALIKE);
  scored.sort((a, b) => b.score - a.score || (a.one < b.one ? 1 : -1));
  return scored[0]?.one;
}

/** Returns how alike two words are, 0 to 1: twice what they share by the longest blocks, of both lengths. */
function likeness(one: string, other: string): number {
  const all = one.length + other.length;
  return all === 0 ? 1 : (2 * shared(one, other)) / all;
}

function shared(one: string, other: string): number {
  const { length, at, there } = longestBlock(one, other);
  if (length === 0) {
    return 0;
  }
  const before = shared(one.slice(0, at), other.slice(0, there));
  return length + before + shared(one.slice(at + length), other.slice(there + length));
}

function longestBlock(one: string, other: string): { length: number; at: number; there: number } {
  let best = { length: 0, at: 0, there: 0 };
  for (let at = 0; at < one.length; at += 1) {
    for (let there = 0; there < other.length; there += 1) {
      let length = 0;
      while (at + length < one.length && one[at + length] === other[there + length]) {
        length += 1;
      }
      if (length > best.length) {
        best = { length, at, there };
      }
    }
  }
  return best;
}
