// Owns the name that PostgreSQL gives an output column without AS (FigureColname). It must be exact: a wrong name
// could make an outer query find another column.

import { expectNode, isFields, list, tagOf, text } from './tree.js'

type Named = { readonly name: string; readonly strength: 0 | 1 | 2 }

const NONE: Named = { name: '?column?', strength: 0 }
const strong = (name: string): Named => ({ name, strength: 2 })

/** Name of an output column. `first` gives the first output's name of a scalar subquery. */
export function columnName(value: unknown, first: (subquery: unknown) => string): string {
  return figure(value, first).name
}

const FIXED: Readonly<Record<string, string>> = {
  GroupingFunc: 'grouping',
  A_ArrayExpr: 'array',
  RowExpr: 'row',
  CoalesceExpr: 'coalesce',
  MergeSupportFunc: 'merge_action',
  XmlSerialize: 'xmlserialize',
}

const XML: Readonly<Record<string, string>> = {
  IS_XMLCONCAT: 'xmlconcat',
  IS_XMLELEMENT: 'xmlelement',
  IS_XMLFOREST: 'xmlforest',
  IS_XMLPARSE: 'xmlparse',
  IS_XMLPI: 'xmlpi',
  IS_XMLROOT: 'xmlroot',
}

function lastString(value: unknown): string | undefined {
  const strings = list(value).filter((each) => tagOf(each) === 'String')
  const last = strings[strings.length - 1]
  return last === undefined ? undefined : text(expectNode(last, 'String')['sval'])
}

function figure(value: unknown, first: (subquery: unknown) => string): Named {
  if (!isFields(value)) return NONE
  const tag = tagOf(value)
  const fixed = Object.hasOwn(FIXED, tag) ? FIXED[tag] : undefined
  if (fixed !== undefined) return strong(fixed)
  const fields = isFields(value[tag]) ? value[tag] : {}
  switch (tag) {
    case 'ColumnRef': {
      const name = lastString(fields['fields'])
      return name === undefined ? NONE : strong(name)
    }
    case 'A_Indirection': {
      const name = lastString(fields['indirection'])
      return name === undefined ? figure(fields['arg'], first) : strong(name)
    }
    case 'FuncCall':
      return strong(lastString(fields['funcname']) ?? '')
    case 'A_Expr':
      return fields['kind'] === 'AEXPR_NULLIF' ? strong('nullif') : NONE
    case 'CollateClause':
      return figure(fields['arg'], first)
    case 'TypeCast': {
      const inner = figure(fields['arg'], first)
      const type = isFields(fields['typeName'])
        ? lastString(fields['typeName']['names'])
        : undefined
      return inner.strength <= 1 && type !== undefined ? { name: type, strength: 1 } : inner
    }
    case 'CaseExpr': {
      const inner = figure(fields['defresult'], first)
      return inner.strength <= 1 ? { name: 'case', strength: 1 } : inner
    }
    case 'MinMaxExpr':
      return strong(fields['op'] === 'IS_LEAST' ? 'least' : 'greatest')
    case 'SQLValueFunction':
      return strong(
        text(fields['op'])
          .replace(/^SVFOP_/, '')
          .replace(/_N$/, '')
          .toLowerCase(),
      )
    case 'XmlExpr':
      return strong(XML[text(fields['op'])] ?? '')
    case 'SubLink':
      if (fields['subLinkType'] === 'EXISTS_SUBLINK') return strong('exists')
      if (fields['subLinkType'] === 'ARRAY_SUBLINK') return strong('array')
      return fields['subLinkType'] === 'EXPR_SUBLINK' ? strong(first(fields['subselect'])) : NONE
    default:
      return NONE
  }
}
