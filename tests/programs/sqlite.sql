-- Rows, indexes, joins and aggregates in memory. The table `scale` holds the
-- number of rows, and is made by the caller.
pragma temp_store = memory;
create table item(id integer primary key, name text, weight real, kind integer);
insert into item
  with recursive n(i) as (select 1 union all select i + 1 from n, scale where i < rows)
  select i, printf('item-%d-%s', i * 7919 % 10007, hex(i * 104729)),
         i * 31 % 1000 / 7.0, i * 17 % 97
  from n;
create index by_name on item(name);
create index by_kind on item(kind, weight);
create table kind as
  select kind as id, count(*) as items, group_concat(substr(name, -3)) as names
  from item group by kind;
select count(*), round(sum(weight), 3), max(name) from item;
select kind.id, items, length(names), round(avg(weight), 4)
  from item join kind on kind.id = item.kind
  group by kind.id order by kind.id limit 20;
update item set name = upper(name) || '-' || kind where id % 3 = 0;
delete from item where id % 5 = 0;
select a.name, b.name from item a join item b on b.name > a.name
  where a.id % 1009 = 0 and b.id % 1013 = 0 order by 1, 2 limit 20;
select kind, row_number() over (partition by kind order by name), name
  from item order by name desc limit 30;
select count(distinct substr(name, 6, 4)), total(length(name)) from item;
with words(word) as (select lower(substr(name, 6, 3)) from item)
  select word, count(*) from words group by word order by 2 desc, 1 limit 20;
